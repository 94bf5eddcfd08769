# SPDX-License-Identifier: Apache-2.0
"""Images of one view in several resolutions, and what is in a label image."""

from __future__ import annotations

import numpy as np

_MAX_DIFFERENCE = 0.02  # of two aspect ratios; halving odd sizes and cutting to 8 pixels stay below


def same_view(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes (H, W) may be of one view: their aspect ratios are the same."""
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1.0) <= _MAX_DIFFERENCE


def present_ids(labels: np.ndarray) -> set[int]:
    """Which ids there are in labels, (H, W) uint8 or uint16; several times faster than numpy."""
    import cv2

    bins = int(np.iinfo(labels.dtype).max) + 1
    counts = cv2.calcHist([labels], [0], None, [bins], [0, bins])
    return set(np.flatnonzero(counts).tolist())


def nearest_grid(
    image: np.ndarray, size: tuple[int, int], step: int = 1, offset: int = 0
) -> np.ndarray:
    """The pixels of an image that are nearest to those of a grid laid over it.

    The same pixel is taken of labels and of confidences, so that a confidence is always that of
    its label: a mean over several pixels would mix the confidences of different classes.

    Args:
        image: (H, W) or (H, W, C).
        size: (rows, columns) of the grid, which covers the whole image.
        step: take one in so many rows and columns of the grid, ...
        offset: ... from this one on.

    Returns:
        (ceil((rows - offset) / step), ceil((columns - offset) / step)[, C]); a view where the
        grid is the image's own.
    """
    if image.shape[:2] == size:
        return image[offset::step, offset::step]
    rows, columns = (
        (2 * np.arange(offset, count, step) + 1) * length // (2 * count)  # their middles
        for count, length in zip(size, image.shape[:2], strict=True)
    )
    found: np.ndarray = image[rows[:, np.newaxis], columns]
    return found
