# SPDX-License-Identifier: Apache-2.0
"""Pixels of masks as consumers want them: with other ids, at another size."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np


def id_table(ids: Sequence[int], unlabeled: int) -> np.ndarray | None:
    """What `with_ids` looks ids up in; None if they are the positions.

    Args:
        ids: of the classes, in their order, below `unlabeled`.
        unlabeled: the label of no class, 255 or 65535.

    Returns:
        (unlabeled + 1,) uint8 or uint16: the id of each position, `unlabeled` for all others.
    """
    if list(ids) == list(range(len(ids))):
        return None
    table = np.full(unlabeled + 1, unlabeled, np.uint8 if unlabeled <= 255 else np.uint16)
    table[: len(ids)] = ids
    return table


def with_ids(labels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Labels that are positions of classes as the ids of these classes.

    Args:
        labels: (H, W) uint8 or uint16.
        table: of `id_table`, of the same type.
    """
    if table.dtype == np.uint8:
        with contextlib.suppress(ImportError):  # OpenCV is needed by some cameras only
            import cv2

            return np.asarray(cv2.LUT(labels, table))  # takes a third of the time
    return np.take(table, labels)


def resize_nearest(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each pixel of a smaller or larger picture from the pixel of this one that it lies in.

    Both pictures show the same view, edge to edge. The same pixel is taken of labels and of
    confidences, so that a confidence is always that of its label: a mean over several pixels
    would mix the confidences of different classes.

    Args:
        pixels: (H, W).

    Returns:
        (height, width) of the same type; `pixels` itself if it has that size.
    """
    if pixels.shape == (height, width):
        return pixels
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)  # the middle of each new pixel
        for old, new in zip(pixels.shape, (height, width), strict=True)
    )
    resized: np.ndarray = pixels.take(rows, axis=0).take(columns, axis=1)
    return resized
