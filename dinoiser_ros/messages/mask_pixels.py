# SPDX-License-Identifier: Apache-2.0
"""Pixels of masks as consumers want them: with the ids of messages."""

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
