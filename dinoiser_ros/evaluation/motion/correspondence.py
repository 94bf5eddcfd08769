# SPDX-License-Identifier: Apache-2.0
"""The true motion between two views of the simulated world, from depth and poses."""

from __future__ import annotations

import numpy as np

from dinoiser_ros.geometry.camera_model import focal_length

from .drives import Drive, View

_SAME_DEPTH = 0.02  # relative difference up to which two pixels show one surface


def true_places(view: View, before: View) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a view were in another view of the same, unmoved world.

    Args:
        view, before: of one size and field of view.

    Returns:
        (H, W, 2) int, x and y of the nearest pixel there, and (H, W) bool: whether the same surface
        with the same true label is seen there. Elsewhere the places mean nothing.
    """
    height, width = view.truth.shape
    focal = focal_length(height, view.fovy)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    y, x = np.mgrid[:height, :width]
    far = np.where(np.isfinite(view.depth), view.depth, 1e4).astype(np.float64)
    rays = np.stack([(x - centre[0]) / focal, (y - centre[1]) / focal, np.ones_like(far)], axis=-1)
    world = (rays * far[..., None]) @ view.pose.axes() + _position(view)
    local = (world - _position(before)) @ before.pose.axes().T
    ahead = np.maximum(local[..., 2], 1e-6)
    places = np.rint(local[..., :2] / ahead[..., None] * focal + centre)
    within = ((places >= 0) & (places < [width, height])).all(axis=-1) & (local[..., 2] > 0)
    places = np.where(within[..., None], places, 0).astype(int)
    there = np.where(np.isfinite(before.depth), before.depth, 1e4)[places[..., 1], places[..., 0]]
    same = np.abs(there - local[..., 2]) < _SAME_DEPTH * there
    same &= before.truth[places[..., 1], places[..., 0]] == view.truth
    return places, within & same


class Correspondences:
    """`true_places` between the views of one drive, each computed once."""

    def __init__(self, drive: Drive) -> None:
        self._views = drive.views
        self._places: dict[tuple[int, int], np.ndarray] = {}
        self._same: dict[tuple[int, int], np.ndarray] = {}

    def places(self, index: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        """Of two views by their numbers, see `true_places`."""
        key = (index, before)
        if key not in self._places:
            places, self._same[key] = true_places(self._views[index], self._views[before])
            self._places[key] = places.astype(np.uint16)
        return self._places[key], self._same[key]

    def seen(self, index: int, before: int) -> np.ndarray:
        """(H, W) bool: which pixels of a view are seen in another one, too."""
        key = (index, before)
        if key not in self._same:
            _, self._same[key] = true_places(self._views[index], self._views[before])
        return self._same[key]


def label_changes(
    labels: np.ndarray, labels_before: np.ndarray, places: np.ndarray, same: np.ndarray
) -> tuple[int, int]:
    """How many pixels changed their label although they show the same, and of how many.

    Args:
        labels, labels_before: (H, W), of the two views.
        places, same: what `true_places` gives of them.
    """
    was = labels_before[places[..., 1], places[..., 0]]
    return int(((labels != was) & same).sum()), int(same.sum())


def _position(view: View) -> np.ndarray:
    return np.array([view.pose.x, view.pose.y, view.pose.z])
