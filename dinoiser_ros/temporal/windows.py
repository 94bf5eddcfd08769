# SPDX-License-Identifier: Apache-2.0
"""Windows: parts of an image that the network gets instead of the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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


def choose_window(urgency: Urgency, length: int) -> Window:
    """The window of an image with the greatest urgency; it spans the shorter side.

    Args:
        urgency: of the image.
        length: of the window along the longer side, in pixels; at most that side.
    """
    height, width = urgency.size
    longer = max(urgency.size)
    parts = len(urgency.values)
    covered = min(parts, max(1, round(length * parts / longer)))
    sums = np.concatenate([[0.0], np.cumsum(urgency.values, dtype=np.float64)])
    first = int(np.argmax(sums[covered:] - sums[: len(sums) - covered]))
    start = min(round(first * longer / parts), longer - length)
    if first + covered == parts:  # the last window ends with the image
        start = longer - length
    return Window(start, 0, length, width) if height > width else Window(0, start, height, length)
