# SPDX-License-Identifier: Apache-2.0
"""Carried labels and confidence: against plain loops and known motion."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.temporal.motion_track import FlowStep, MotionTrack
from dinoiser_ros.temporal.propagation import (
    DOUBT,
    HALF_LIFE,
    UNSEEN,
    carry,
    contour_distance,
    inside,
    trust,
)

SHAPE = (24, 32)


def moved(x: float, y: float, error: float = 0.0, shape: tuple[int, int] = SHAPE) -> MotionTrack:
    """A track whose newest picture shows at p what the reference showed at p + (x, y)."""
    track = MotionTrack(shape)
    back = np.full((*shape, 2), (x, y), np.float32)
    track.extend(FlowStep(back, np.full(shape, error, np.float32)))
    return track


def halves(shape: tuple[int, int], dtype: type = np.uint8) -> np.ndarray:
    labels = np.full(shape, 3, dtype)
    labels[:, shape[1] // 2 :] = 200
    return labels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_move_as_the_track_says(dtype: type) -> None:
    labels = np.random.default_rng(0).integers(0, 255, SHAPE).astype(dtype)
    confidence = np.random.default_rng(1).random(SHAPE).astype(np.float32)
    track = moved(5, -3)
    carried, sure = carry(labels, confidence, contour_distance(labels, SHAPE), track, 0.0)
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            place = min(max(y - 3, 0), SHAPE[0] - 1), min(x + 5, SHAPE[1] - 1)
            assert carried[y, x] == labels[place]
            share = 1.0 if (y - 3 >= 0 and x + 5 < SHAPE[1]) else UNSEEN
            assert sure[y, x] == pytest.approx(confidence[place] * share, abs=0.02)
    assert carried.dtype == dtype and sure.dtype == np.float32


def test_a_mask_is_larger_than_the_flow() -> None:
    labels = halves((96, 128))
    confidence = np.ones(labels.shape, np.float32)
    carried, sure = carry(labels, confidence, contour_distance(labels, SHAPE), moved(4, 0), 0.0)
    assert carried.shape == sure.shape == labels.shape
    # 4 pixels of the flow are 16 of the mask.
    np.testing.assert_array_equal(carried[:, :112], np.roll(labels, -16, axis=1)[:, :112])


def test_confidence_falls_with_age_and_error_and_where_nothing_was_seen() -> None:
    def mean(track: MotionTrack, age: float) -> float:
        return float(trust(track, age)[8:-8, 8:-8].mean())

    assert mean(moved(0, 0), 0.0) == 1.0
    assert mean(moved(0, 0), HALF_LIFE) == pytest.approx(0.5)
    assert mean(moved(0, 0, error=DOUBT), 0.0) == pytest.approx(0.5)
    ages = [mean(moved(0, 0, 1.0), age) for age in (0.0, 0.5, 1.0, 2.0)]
    assert ages == sorted(ages, reverse=True)
    far = moved(100, 0)
    assert not inside(far.field).any() and trust(far, 0.0).max() == pytest.approx(UNSEEN)
    assert trust(moved(0, 0), -1.0).max() == 1.0, "clocks that go backwards add no confidence"


def test_an_error_matters_near_a_contour_only() -> None:
    labels = halves(SHAPE)
    confidence = np.ones(SHAPE, np.float32)
    contours = contour_distance(labels, SHAPE)
    _, sure = carry(labels, confidence, contours, moved(0, 0, error=4.0), 0.0)
    assert sure[12, 16] < sure[12, 20] < sure[12, 30]
    assert sure[12, 30] > 0.95


def test_the_distance_to_a_contour() -> None:
    distance = contour_distance(halves(SHAPE), SHAPE)
    assert distance[10, 16] == 0.0
    assert distance[10, 26] == pytest.approx(10.0, abs=0.5)
    assert contour_distance(np.zeros(SHAPE, np.uint8), SHAPE).min() > max(SHAPE), "there is none"
