# SPDX-License-Identifier: Apache-2.0
"""Fuse the masks of successive pictures along the motion between them."""

from __future__ import annotations

import cv2
import numpy as np

from .motion_track import MotionTrack
from .optical_flow import look_up
from .propagation import inside, trust
from .windows import Window

# Chosen on simulated drives.
MEMORY = 0.9  # share of the old evidence's weight that stays when a mask is added
TOLERANCE = 5.0  # pixels of error in the motion that do little harm to a mean over time
MOST_CLASSES = 32  # that evidence is kept of; those with the least are forgotten
_NONE = 0.01  # mean evidence of a cell below which a class counts as absent


class MaskSmoother:
    """A weighted mean of each class's probability at each pixel, over the masks so far.

    A mask says of a pixel that its class has the probability `confidence`, and nothing of the other
    classes: they count as 0, so that the means are lower bounds. Old masks lose weight with each
    new one, with time, and where the motion between them is uncertain. The means are kept at a low
    resolution; the newest mask takes part at its own, so that its contours stay sharp.
    """

    def __init__(self) -> None:
        self._evidence: dict[int, np.ndarray] = {}  # class id -> (h, w) float32, sum of weights * p
        self._weight: np.ndarray | None = None  # (h, w) float32, sum of weights

    def reset(self) -> None:
        """Forget all masks: after a cut, or when the class ids mean something else."""
        self._evidence, self._weight = {}, None

    def fuse(
        self,
        labels: np.ndarray,
        confidence: np.ndarray,
        unlabeled: int,
        track: MotionTrack,
        age: float,
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add a mask, and give the one that all of them agree on.

        Args:
            labels: (H, W) uint8 or uint16.
            confidence: (H, W) float32 in [0, 1].
            unlabeled: the id of no class.
            track: from this mask's picture to that of the mask before.
            age: seconds between the two.
            window, size: which part of its picture the mask is of, and the picture's height and
                width; None: all.

        Returns:
            Labels and confidence, of the same shapes and types. Only pixels of which no mask knows
            a class are unlabeled.
        """
        place = _Place(window, labels.shape if size is None else size, track.shape)
        self._move(track, age, place)
        present = [int(name) for name in np.unique(labels) if name != unlabeled]
        fused = self._decide(labels, confidence, unlabeled, present, place)
        self._add(labels, confidence, present, place)
        return fused

    def _move(self, track: MotionTrack, age: float, place: _Place) -> None:
        """Bring what is known to the newest picture."""
        if self._weight is None or self._weight.shape != track.shape:
            self.reset()
            return
        kept = trust(track, age, TOLERANCE) * inside(track.field)
        kept *= 1 - np.float32(1 - MEMORY) * place.shares
        self._weight = kept * look_up(self._weight, track.field)
        self._evidence = {
            name: kept * look_up(plane, track.field) for name, plane in self._evidence.items()
        }

    def _decide(
        self,
        labels: np.ndarray,
        confidence: np.ndarray,
        unlabeled: int,
        present: list[int],
        place: _Place,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence at the mask's resolution, before the mask is added."""
        if self._weight is None:
            return labels, confidence
        best = np.zeros(labels.shape, np.float32)
        winner = np.full_like(labels, unlabeled)
        for name in sorted({*self._evidence, *present}):
            total = np.where(labels == name, confidence, np.float32(0.0))
            if name in self._evidence:
                total += place.enlarge(self._evidence[name])
            better = total > best
            winner[better] = name
            np.maximum(best, total, out=best)
        best /= 1.0 + place.enlarge(self._weight)
        return winner, np.minimum(best, np.float32(1.0))

    def _add(
        self, labels: np.ndarray, confidence: np.ndarray, present: list[int], place: _Place
    ) -> None:
        """Add the mask to what is known, at the low resolution."""
        for name in present:
            own = np.where(labels == name, confidence, np.float32(0.0))
            self._evidence[name] = self._evidence.get(name, np.float32(0.0)) + place.reduce(own)
        self._weight = place.shares + (0 if self._weight is None else self._weight)
        totals = {name: float(plane.max()) for name, plane in self._evidence.items()}
        kept = sorted(totals, key=totals.__getitem__, reverse=True)[:MOST_CLASSES]
        self._evidence = {name: self._evidence[name] for name in kept if totals[name] > _NONE}


class _Place:
    """Where in its picture a mask is.

    Args:
        window: of the picture; None: all of it.
        size: height and width of the picture.
        shape: the low resolution that the picture's evidence is kept at.

    Attributes:
        shares: (h, w) float32, the share of each pixel at the low resolution that is in the window.
    """

    def __init__(
        self, window: Window | None, size: tuple[int, int], shape: tuple[int, int]
    ) -> None:
        self._window = window or Window(0, 0, *size)
        self._whole = window is None
        self._size, self._shape = size, shape
        ones = np.ones((self._window.height, self._window.width), np.float32)
        self.shares = np.ones(shape, np.float32) if self._whole else self.reduce(ones)

    def enlarge(self, plane: np.ndarray) -> np.ndarray:
        """The window's part of a plane at the low resolution, at the picture's."""
        size = (self._size[1], self._size[0])
        return self._window.of(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))

    def reduce(self, plane: np.ndarray) -> np.ndarray:
        """A plane over the window at the low resolution; 0 beside it."""
        if not self._whole:
            whole = np.zeros(self._size, np.float32)
            self._window.of(whole)[:] = plane
            plane = whole
        size = (self._shape[1], self._shape[0])
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))
