# SPDX-License-Identifier: Apache-2.0
"""The confusion matrix and its readings against loops over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dinoiser_ros.evaluation.metrics.confusion import (
    confusion_matrix,
    iou,
    mean_iou,
    pixel_accuracy,
)

CLASSES = 4
IDS = st.sampled_from([0, 1, 2, 3, 7, 255])
PIXELS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(arrays(np.uint8, n, elements=IDS), arrays(np.uint8, n, elements=IDS))
)


def naive(truth, predicted):
    matrix = np.zeros((CLASSES, CLASSES + 1), int)
    for t, p in zip(truth.tolist(), predicted.tolist(), strict=True):
        if t < CLASSES:
            matrix[t, min(p, CLASSES)] += 1
    return matrix


@given(PIXELS)
def test_matrix_counts_pixels(pair):
    assert (confusion_matrix(*pair, CLASSES) == naive(*pair)).all()


@given(PIXELS)
def test_iou_is_intersection_over_union(pair):
    truth, predicted = pair
    counted = truth < CLASSES
    values = iou(confusion_matrix(truth, predicted, CLASSES))
    for c in range(CLASSES):
        a, b = (truth == c) & counted, (predicted == c) & counted
        if (a | b).any():
            assert values[c] == pytest.approx((a & b).sum() / (a | b).sum())
        else:
            assert np.isnan(values[c])


@given(PIXELS)
def test_perfect_prediction_scores_one(pair):
    truth = pair[0]
    matrix = confusion_matrix(truth, truth, CLASSES)
    if (truth < CLASSES).any():
        assert mean_iou(matrix) == pixel_accuracy(matrix) == 1.0
    else:
        assert np.isnan(mean_iou(matrix)) and np.isnan(pixel_accuracy(matrix))


@given(PIXELS, PIXELS)
def test_matrices_of_frames_add_up(first, second):
    both = [np.concatenate(parts) for parts in zip(first, second, strict=True)]
    total = confusion_matrix(*first, CLASSES) + confusion_matrix(*second, CLASSES)
    assert (total == confusion_matrix(*both, CLASSES)).all()


def test_unlabelled_prediction_is_a_miss():
    matrix = confusion_matrix(np.array([0, 0]), np.array([0, 255]), 2)
    assert pixel_accuracy(matrix) == 0.5 and iou(matrix)[0] == 0.5


def test_mean_over_chosen_classes():
    matrix = confusion_matrix(np.array([0, 1, 2]), np.array([0, 2, 2]), 3)
    assert mean_iou(matrix, [0]) == 1.0 and mean_iou(matrix, [0, 1]) == 0.5


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
