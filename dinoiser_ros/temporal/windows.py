# SPDX-License-Identifier: Apache-2.0
"""Windows: parts of an image that the network gets instead of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Share of a window's urgency with which a shorter one is preferred, which takes less time. Chosen
# on simulated drives.
ENOUGH = 0.6


@dataclass(frozen=True)
class Window:
    """A part of an image, in its pixels.

    Attributes:
        top, left: of its first pixel.
        height, width: at least 1.
    """

    top: int
    left: int
    height: int
    width: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """The window of an (H, W, ...) array; no copy."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Urgency:
    """How much a network's answer is worth along the longer side of a camera's newest image.

    Attributes:
        size: height and width of the image.
        values: (n,) float32 at least 0, of n equal parts of the longer side; across if both are
            equal.
    """

    size: tuple[int, int]
    values: np.ndarray


def choose_window(urgency: Urgency, lengths: Sequence[int]) -> Window:
    """Where a network should look next: a window that spans the shorter side of an image.

    Args:
        urgency: of the image.
        lengths: that windows may have along the longer side, in pixels, the longest first; at most
            that side.

    Returns:
        The most urgent window of the first length, or of one further on that has most of its
        urgency: in a turn, the strip that came into view.
    """
    best, most = _most_urgent(urgency, lengths[0])
    for length in lengths[1:]:
        window, found = _most_urgent(urgency, length)
        if found >= ENOUGH * most:
            best, most = window, found
    return best


def _most_urgent(urgency: Urgency, length: int) -> tuple[Window, float]:
    """The window of a length with the greatest urgency, and that."""
    height, width = urgency.size
    longer = max(urgency.size)
    parts = len(urgency.values)
    covered = min(parts, max(1, round(length * parts / longer)))
    sums = np.concatenate([[0.0], np.cumsum(urgency.values, dtype=np.float64)])
    windows = sums[covered:] - sums[: len(sums) - covered]
    first = int(np.argmax(windows))
    start = min(round(first * longer / parts), longer - length)
    if first + covered == parts:  # the last window ends with the image
        start = longer - length
    if height > width:
        return Window(start, 0, length, width), float(windows[first])
    return Window(0, start, height, length), float(windows[first])
