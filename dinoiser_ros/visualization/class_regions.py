# SPDX-License-Identifier: Apache-2.0
"""Where each class is in a segmentation: counts, boxes, mean confidences and binary masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """The pixels of one class in one image.

    Attributes:
        id: class id, as in the label image.
        pixel_count: number of its pixels, at least 1.
        x, y, width, height: smallest box around them, in pixels.
        confidence: mean confidence over them, in [0, 1].
        mask: (H, W) uint8, 255 where the class is, 0 elsewhere.
    """

    id: int
    pixel_count: int
    x: int
    y: int
    width: int
    height: int
    confidence: float
    mask: np.ndarray


def class_mask(labels: np.ndarray, class_id: int) -> np.ndarray:
    """(H, W) class ids -> (H, W) uint8, 255 where the class is and 0 elsewhere."""
    mask: np.ndarray = (labels == class_id).view(np.uint8) * np.uint8(255)
    return mask


def class_regions(labels: np.ndarray, confidence: np.ndarray, end: int) -> Iterator[Region]:
    """Regions of the classes that have a pixel, in the order of their ids.

    Args:
        labels: (H, W) uint8 or uint16 class ids; those from `end` on mean unlabeled.
        confidence: (H, W) float in [0, 1].
        end: what ids are below: the highest id of a class plus one.
    """
    flat = labels.ravel()
    counts = np.bincount(flat, minlength=end)[:end]
    sums = np.bincount(flat, weights=confidence.ravel(), minlength=end)[:end]
    for class_id in np.flatnonzero(counts).tolist():
        mask = class_mask(labels, class_id)
        columns = np.flatnonzero(mask.any(axis=0))
        rows = np.flatnonzero(mask.any(axis=1))
        yield Region(
            id=class_id,
            pixel_count=int(counts[class_id]),
            x=int(columns[0]),
            y=int(rows[0]),
            width=int(columns[-1] - columns[0] + 1),
            height=int(rows[-1] - rows[0] + 1),
            confidence=float(sums[class_id] / counts[class_id]),
            mask=mask,
        )
