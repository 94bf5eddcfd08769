# SPDX-License-Identifier: Apache-2.0
"""Move labels and confidence of one picture to a later one."""

from __future__ import annotations

import cv2
import numpy as np

from .motion_track import MotionTrack
from .optical_flow import grid, look_up

# Chosen on simulated drives, such that a confidence of 1 becomes the share of right labels.
DOUBT = 6.0  # how often the motion's error exceeds the way to the next contour, at half confidence
UNSEEN = 0.65  # what was outside the reference keeps this share of the edge's confidence
# The simulated world stands still. In a real one things move by themselves, too.
HALF_LIFE = 10.0  # seconds


def contour_distance(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How far each pixel is from the next pixel of another label.

    Args:
        labels: (H, W) uint8 or uint16.
        shape: (h, w) of the answer; distances are in its pixels.

    Returns:
        (h, w) float32; at a contour 0.
    """
    small = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST)
    inner = np.ones(shape, np.uint8)
    inner[:, 1:][small[:, 1:] != small[:, :-1]] = 0
    inner[1:][small[1:] != small[:-1]] = 0
    if inner.all():  # one label only
        return np.full(shape, float(sum(shape)), np.float32)
    return np.asarray(cv2.distanceTransform(inner, cv2.DIST_L2, 3))


def carry(
    labels: np.ndarray,
    confidence: np.ndarray,
    contours: np.ndarray,
    track: MotionTrack,
    age: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and confidence of the reference, carried to the newest picture of a track.

    A label is trusted less near a contour that the motion's error may have led across, beside the
    reference, and with age. What was outside the reference gets the label of its nearest pixel.

    Args:
        labels: (H, W) uint8 or uint16.
        confidence: (H, W) float32 in [0, 1].
        contours: (h, w), `contour_distance` of the labels at the track's resolution.
        track: from the newest picture to the reference.
        age: seconds between the two pictures.

    Returns:
        The two, of the same shapes and types.
    """
    height, width = labels.shape
    places = grid(height, width) + enlarge(track.field, (height, width))
    moved = _remap(labels, places, cv2.INTER_NEAREST)
    sure = _remap(confidence, places, cv2.INTER_LINEAR)
    kept = trust(track, age, 1.0 + look_up(contours, track.field))
    sure *= cv2.resize(kept, (width, height), interpolation=cv2.INTER_LINEAR)
    return moved, sure


def trust(track: MotionTrack, age: float, tolerance: float | np.ndarray = 1.0) -> np.ndarray:
    """How much of its confidence a pixel keeps on its way, (h, w) float32 in [0, 1].

    Args:
        track: as in `carry`.
        age: seconds between the two pictures.
        tolerance: the error of the motion, in pixels, that matters; (h, w) or one for all.
    """
    share = np.where(inside(track.field), np.float32(1.0), np.float32(UNSEEN))
    aged = np.float32(0.5 ** (max(age, 0.0) / HALF_LIFE))
    kept: np.ndarray = aged * share / (1 + track.error / (np.float32(DOUBT) * tolerance))
    return kept.astype(np.float32, copy=False)


def inside(field: np.ndarray) -> np.ndarray:
    """(h, w) bool: which pixels the field sends to a place within the picture."""
    height, width = field.shape[:2]
    places = grid(height, width) + field
    last = np.array([width - 0.5, height - 0.5], np.float32)
    within: np.ndarray = ((places >= -0.5) & (places <= last)).all(axis=-1)
    return within


def enlarge(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A displacement field at another resolution, (H, W, 2): in pixels of that one."""
    height, width = shape
    scale = np.array([width / field.shape[1], height / field.shape[0]], np.float32)
    large: np.ndarray = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    return large


def _remap(values: np.ndarray, places: np.ndarray, how: int) -> np.ndarray:
    return np.asarray(
        cv2.remap(values, places, None, how, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    )
