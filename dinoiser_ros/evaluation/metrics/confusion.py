# SPDX-License-Identifier: Apache-2.0
"""Confusion matrices and what is read off them."""

from __future__ import annotations

import numpy as np

IGNORED = 255


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        truth: integer class ids of any shape; 255 (and anything outside 0..classes - 1) is left
            out.
        predicted: the same shape; a value outside 0..classes - 1 counts as a miss, in the extra
            column.
        classes: how many there are.

    Returns:
        (classes, classes + 1) int64; rows are true classes, the last column is "no class".

    Raises:
        ValueError: the shapes differ.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, the prediction {predicted.shape}")
    truth, predicted = truth.ravel().astype(np.int64), predicted.ravel().astype(np.int64)
    counted = (truth >= 0) & (truth < classes)
    truth, predicted = truth[counted], predicted[counted]
    predicted = np.where((predicted < 0) | (predicted >= classes), classes, predicted)
    flat = np.bincount(truth * (classes + 1) + predicted, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1)


def iou(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union per class, (classes,) in [0, 1].

    NaN for a class that is neither present nor predicted.
    """
    hit = np.diagonal(matrix).astype(float)
    union = matrix.sum(axis=1) + matrix[:, :-1].sum(axis=0) - hit
    shares: np.ndarray = np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)
    return shares


def mean_iou(matrix: np.ndarray, classes: list[int] | None = None) -> float:
    """Mean of :func:`iou` over ``classes`` (all by default); NaN if none has a value.

    Classes without a value are left out.
    """
    values = iou(matrix)
    values = values if classes is None else values[classes]
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def pixel_accuracy(matrix: np.ndarray) -> float:
    """Share of the counted pixels that got their class, in [0, 1]; NaN without any."""
    total = matrix.sum()
    return float(np.diagonal(matrix).sum() / total) if total else float("nan")


def mean_recall(matrix: np.ndarray) -> float:
    """Share of a class's pixels that are labelled as it, mean over the classes that have pixels.

    NaN if no class has pixels.
    """
    pixels = matrix.sum(axis=1)
    there = pixels > 0
    return float((np.diagonal(matrix)[there] / pixels[there]).mean()) if there.any() else np.nan
