# SPDX-License-Identifier: Apache-2.0
"""The motion since one picture of a stream, added up picture by picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .optical_flow import DenseFlow, compose, forward_backward_error, look_up

_FLAT = 2.0  # grey levels of standard deviation, below which a picture shows nothing


@dataclass(frozen=True)
class FlowStep:
    """The motion between two successive pictures of a stream.

    Attributes:
        back: (h, w, 2), the displacement field from the newer picture to the older one.
        error: (h, w) float32, its forward-backward error in pixels.
        similarity: correlation of the newer picture with the older one moved along `back`, in
            [-1, 1].
    """

    back: np.ndarray
    error: np.ndarray
    similarity: float = 1.0


def flow_step(flow: DenseFlow, older: np.ndarray, newer: np.ndarray) -> FlowStep:
    """Measure the motion between two pictures, (h, w) uint8 of `optical_flow.flow_picture`."""
    back = flow.between(newer, older)
    error = forward_backward_error(back, flow.between(older, newer))
    return FlowStep(back, error, _correlation(newer, look_up(older.astype(np.float32), back)))


def _correlation(picture: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of the pixels of two (h, w) pictures; 1 for two that show nothing."""
    a, b = picture.astype(np.float32).ravel(), other.ravel()
    spread_a, spread_b = float(a.std()), float(b.std())
    if min(spread_a, spread_b) < _FLAT:
        return 1.0 if max(spread_a, spread_b) < 2 * _FLAT else 0.0
    return float(np.mean((a - a.mean()) * (b - b.mean()))) / (spread_a * spread_b)


class MotionTrack:
    """Where the pixels of the newest picture were in a picture before, the *reference*.

    Attributes:
        field: (h, w, 2), the displacement field from the newest picture to the reference.
        error: (h, w) float32, by how many pixels it may be wrong: the errors of the steps along
            the way, added as independent ones are.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """A track whose reference is the newest picture, of `shape` (h, w)."""
        self.field = np.zeros((*shape, 2), np.float32)
        self.error = np.zeros(shape, np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its pictures."""
        return self.error.shape[0], self.error.shape[1]

    def extend(self, step: FlowStep) -> None:
        """Go on to the next picture."""
        self.field = compose(step.back, self.field)
        self.error = np.hypot(look_up(self.error, step.back), step.error)

    def copy(self) -> MotionTrack:
        """A track of its own that stands where this one stands."""
        track = MotionTrack(self.shape)
        track.field, track.error = self.field, self.error  # replaced, never written to
        return track
