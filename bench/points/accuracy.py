# SPDX-License-Identifier: Apache-2.0
"""Marked points that are not where the class is: an object's name on the wall behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dinoiser_ros.geometry import camera_model
from dinoiser_ros.geometry.camera_model import CameraModel, ray_directions
from dinoiser_ros.geometry.surfaces import Surfaces
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.classes import OBJECT_IDS

FALSE_BEYOND = 0.05  # metres from the true object of the class
_CHUNK = 512  # points whose distances are computed at once


@dataclass
class Phantoms:
    """Counts over frames.

    Attributes:
        points: of objects, marked.
        false: those farther than `FALSE_BEYOND` from every true point of their class.
        true: points that truly belong to objects.
        kept: those of them that are marked with their class.
    """

    points: int = 0
    false: int = 0
    true: int = 0
    kept: int = 0

    def add(self, frame: RenderedFrame, labels: np.ndarray, radius: int, edge: float) -> None:
        """Count the points of one frame.

        Args:
            frame: the truth.
            labels: (H, W) class ids as segmented.
            radius, edge: the parameters border_erosion and depth_edge.
        """
        depth = np.where(np.isfinite(frame.depth), frame.depth, np.nan).astype(np.float32)
        places = np.stack([*ray_directions(pinhole(frame)) * depth, depth], axis=-1)
        surfaces = Surfaces()
        surfaces.measure(depth, radius, edge)
        for number in OBJECT_IDS:
            mask = np.zeros(depth.shape, bool)
            surfaces.add_trusted(labels, number, mask)
            truth = (frame.labels == number) & np.isfinite(depth)
            self.points += int(mask.sum())
            self.true += int(truth.sum())
            self.kept += int((mask & truth).sum())
            # A point of a pixel that truly shows the class is at distance 0.
            self.false += _far_from(places[mask & ~truth], places[truth])

    def __str__(self) -> str:
        false, kept = self.false / max(self.points, 1), self.kept / max(self.true, 1)
        return f"{false:8.3%} false of {self.points} points; {kept:6.1%} of the true ones kept"


def pinhole(frame: RenderedFrame) -> CameraModel:
    """The camera that a frame was rendered with."""
    height, width = frame.labels.shape
    return camera_model.pinhole(width, height, frame.fovy)


def phantoms(
    frames: list[RenderedFrame],
    masks: Callable[[RenderedFrame], np.ndarray],
    radius: int,
    edge: float,
) -> Phantoms:
    """Count over frames with one kind of masks."""
    result = Phantoms()
    for frame in frames:
        result.add(frame, masks(frame), radius, edge)
    return result


def _far_from(points: np.ndarray, truth: np.ndarray) -> int:
    """How many of (N, 3) points are far from all of (M, 3) true ones."""
    if not len(truth):
        return len(points)
    squares, far = (truth**2).sum(axis=1), 0
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        distances = (part**2).sum(axis=1)[:, np.newaxis] + squares - 2 * part @ truth.T
        far += int((distances.min(axis=1) > FALSE_BEYOND**2).sum())
    return far
