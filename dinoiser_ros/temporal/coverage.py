# SPDX-License-Identifier: Apache-2.0
"""How long ago the network looked at what the newest picture shows, and where to look next.

A turn by 0.5 rad/s brings a third of a camera's image into view in a second. A network that takes
a second for an image has seen none of it. In the same time it can look at several windows, each
where the mask is least known.
"""

from __future__ import annotations

import numpy as np

from .motion_track import FlowStep
from .optical_flow import look_up
from .propagation import inside
from .windows import Urgency, Window

# Chosen on simulated drives.
UNSEEN = 3.0  # seconds: what the network has never seen counts as seen so long ago
# Far from a contour a label stays right, carried however far.
NEAR = 8.0  # pixels from a contour at which half of its attraction is left
FAR = 0.3  # attraction of a place far from any contour; at a contour it is 1 more


class Coverage:
    """For each pixel of the newest picture, how many seconds ago the network saw what it shows.

    Pictures are at the flow's resolution. Until a whole picture went to the network nothing is
    known, and the next must be a whole one.
    """

    def __init__(self) -> None:
        self._ages: np.ndarray | None = None  # (h, w) float32

    @property
    def known(self) -> bool:
        """Whether a whole picture went to the network since the last `reset`."""
        return self._ages is not None

    def reset(self) -> None:
        """Nothing that the network saw is of use any more."""
        self._ages = None

    def extend(self, step: FlowStep, seconds: float) -> None:
        """Go on to the next picture, `seconds` later."""
        if self._ages is not None:
            moved = look_up(self._ages, step.back) + np.float32(seconds)
            unseen = ~inside(step.back)
            moved[unseen] = np.maximum(moved[unseen], np.float32(UNSEEN))
            self._ages = moved

    def look(
        self,
        shape: tuple[int, int],
        size: tuple[int, int],
        window: Window | None,
        age: float,
        field: np.ndarray | None,
    ) -> None:
        """The network looks at a picture.

        Args:
            shape: (h, w) of the pictures at the flow's resolution.
            size: (H, W) of the picture.
            window: what of it; None: all.
            age: seconds since it was taken.
            field: (h, w, 2) from the newest picture to this one; None if this is the newest.
        """
        if window is None:
            self._ages = np.zeros(shape, np.float32)
            window = Window(0, 0, *size)
        elif self._ages is None:
            return
        looked = np.zeros(shape, np.float32)
        rows, columns = shape[0] / size[0], shape[1] / size[1]
        looked[
            round(window.top * rows) : round((window.top + window.height) * rows),
            round(window.left * columns) : round((window.left + window.width) * columns),
        ] = 1.0
        there = np.ones(shape, bool)
        if field is not None:
            looked, there = look_up(looked, field), inside(field)
            self._ages[~there] = np.maximum(self._ages[~there], np.float32(UNSEEN))
        self._ages[there & (looked > 0.5)] = age

    def urgency(self, size: tuple[int, int], contours: np.ndarray | None) -> Urgency | None:
        """What looking again is worth, along the longer side.

        Args:
            size: (H, W) of the newest picture.
            contours: (h, w), how far each pixel of the newest picture is from the next contour of
                the mask there, in pixels; None if there is no mask yet.

        Returns:
            None while nothing is known.
        """
        if self._ages is None:
            return None
        worth = self._ages
        if contours is not None:
            worth = worth * (np.float32(FAR) + 1 / (1 + contours / np.float32(NEAR)))
        # At the flow's resolution both sides may be equal where the picture's are not.
        return Urgency(size, worth.sum(axis=1 if size[0] > size[1] else 0))
