# SPDX-License-Identifier: Apache-2.0
"""Fuse the masks of successive pictures along the motion between them."""

from __future__ import annotations

import cv2
import numpy as np

from .motion_track import MotionTrack
from .optical_flow import look_up
from .propagation import inside, trust

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
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add a mask, and give the one that all of them agree on.

        Args:
            labels: (H, W) uint8 or uint16.
            confidence: (H, W) float32 in [0, 1].
            unlabeled: the id of no class.
            track: from this mask's picture to that of the mask before.
            age: seconds between the two.

        Returns:
            Labels and confidence, of the same shapes and types. Only pixels of which no mask knows
            a class are unlabeled.
        """
        self._move(track, age)
        present = [int(name) for name in np.unique(labels) if name != unlabeled]
        fused = self._decide(labels, confidence, unlabeled, present)
        self._add(labels, confidence, present, track.shape)
        return fused

    def _move(self, track: MotionTrack, age: float) -> None:
        """Bring what is known to the newest picture."""
        if self._weight is None or self._weight.shape != track.shape:
            self.reset()
            return
        kept = np.float32(MEMORY) * trust(track, age, TOLERANCE) * inside(track.field)
        self._weight = kept * look_up(self._weight, track.field)
        self._evidence = {
            name: kept * look_up(plane, track.field) for name, plane in self._evidence.items()
        }

    def _decide(
        self, labels: np.ndarray, confidence: np.ndarray, unlabeled: int, present: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidence at the mask's resolution, before the mask is added."""
        if self._weight is None:
            return labels, confidence
        size = (labels.shape[1], labels.shape[0])
        best = np.zeros(labels.shape, np.float32)
        winner = np.full_like(labels, unlabeled)
        for name in sorted({*self._evidence, *present}):
            total = np.where(labels == name, confidence, np.float32(0.0))
            if name in self._evidence:
                total += cv2.resize(self._evidence[name], size, interpolation=cv2.INTER_LINEAR)
            better = total > best
            winner[better] = name
            np.maximum(best, total, out=best)
        best /= 1.0 + cv2.resize(self._weight, size, interpolation=cv2.INTER_LINEAR)
        return winner, np.minimum(best, np.float32(1.0))

    def _add(
        self,
        labels: np.ndarray,
        confidence: np.ndarray,
        present: list[int],
        shape: tuple[int, int],
    ) -> None:
        """Add the mask to what is known, at the low resolution."""
        size = (shape[1], shape[0])
        for name in present:
            own = np.where(labels == name, confidence, np.float32(0.0))
            plane = cv2.resize(own, size, interpolation=cv2.INTER_AREA)
            self._evidence[name] = self._evidence.get(name, np.float32(0.0)) + plane
        one = np.float32(1.0)
        self._weight = np.full(shape, one) if self._weight is None else self._weight + one
        totals = {name: float(plane.max()) for name, plane in self._evidence.items()}
        kept = sorted(totals, key=totals.__getitem__, reverse=True)[:MOST_CLASSES]
        self._evidence = {name: self._evidence[name] for name in kept if totals[name] > _NONE}
