# SPDX-License-Identifier: Apache-2.0
"""Masks fused over time: against a naive weighted mean, and what resets it."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.temporal.motion_track import FlowStep, MotionTrack
from dinoiser_ros.temporal.smoothing import MEMORY, MOST_CLASSES, MaskSmoother

SHAPE = (24, 32)
NONE = 255


def still() -> MotionTrack:
    return MotionTrack(SHAPE)


def mask(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, SHAPE).astype(np.uint8)
    labels[0, :5] = NONE
    return labels, random.uniform(0.2, 1.0, SHAPE).astype(np.float32)


def naive(masks: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of each class's probability, pixel by pixel; nothing moves."""
    labels, confidence = np.full(SHAPE, NONE, np.uint8), np.zeros(SHAPE, np.float32)
    weights = [MEMORY ** (len(masks) - 1 - i) for i in range(len(masks))]
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            means = [
                sum(w * c[y, x] for w, (n, c) in zip(weights, masks, strict=True) if n[y, x] == k)
                / sum(weights)
                for k in range(3)
            ]
            if max(means) > 0:
                labels[y, x], confidence[y, x] = int(np.argmax(means)), max(means)
    return labels, confidence


def test_it_is_a_weighted_mean_of_all_masks() -> None:
    smoother, masks = MaskSmoother(), [mask(seed) for seed in range(4)]
    for labels, confidence in masks:
        fused = smoother.fuse(labels, confidence, NONE, still(), 0.0)
    expected = naive(masks)
    np.testing.assert_allclose(fused[1], expected[1], atol=1e-5)
    assert (fused[0] == expected[0]).mean() > 0.999  # two means may be equal but for rounding
    assert fused[0].dtype == np.uint8 and fused[1].dtype == np.float32


def test_the_first_mask_stays_as_it_is() -> None:
    labels, confidence = mask(0)
    fused = MaskSmoother().fuse(labels, confidence, NONE, still(), 0.0)
    np.testing.assert_array_equal(fused[0], labels)
    np.testing.assert_array_equal(fused[1], confidence)


def test_one_wrong_mask_among_many_changes_nothing_and_many_do() -> None:
    smoother = MaskSmoother()
    right, wrong = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    sure = np.full(SHAPE, 0.8, np.float32)
    for _ in range(5):
        smoother.fuse(right, sure, NONE, still(), 0.1)
    assert (smoother.fuse(wrong, sure, NONE, still(), 0.1)[0] == 0).all()
    for _ in range(4):
        fused = smoother.fuse(wrong, sure, NONE, still(), 0.1)
    assert (fused[0] == 1).all()


def test_what_is_known_moves_along() -> None:
    smoother, sure = MaskSmoother(), np.full(SHAPE, 0.8, np.float32)
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :8] = 1
    for _ in range(5):
        smoother.fuse(labels, sure, NONE, still(), 0.1)
    track = still()
    track.extend(FlowStep(np.full((*SHAPE, 2), (-8, 0), np.float32), np.zeros(SHAPE, np.float32)))
    flat = np.full(SHAPE, 2, np.uint8)  # a network that now says nothing useful
    fused, _ = smoother.fuse(flat, np.full(SHAPE, 0.3, np.float32), NONE, track, 0.1)
    assert (fused[:, 9:15] == 1).all() and (fused[:, 18:] == 0).all()
    assert (fused[:, :7] == 2).all(), "of what comes into view only the new mask knows"


@pytest.mark.parametrize("other", [None, (12, 16)])
def test_a_reset_and_another_size_forget(other: tuple[int, int] | None) -> None:
    smoother = MaskSmoother()
    for seed in range(3):
        smoother.fuse(*mask(seed), NONE, still(), 0.1)
    labels, confidence = mask(9)
    if other is None:
        smoother.reset()
    track = MotionTrack(other or SHAPE)
    fused = smoother.fuse(labels, confidence, NONE, track, 0.1)
    np.testing.assert_array_equal(fused[0], labels)


def test_memory_does_not_grow_with_the_number_of_classes() -> None:
    smoother = MaskSmoother()
    labels = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE)
    fused = smoother.fuse(labels, np.ones(SHAPE, np.float32), 65535, still(), 0.0)
    assert len(smoother._evidence) == MOST_CLASSES
    fused = smoother.fuse(labels, np.ones(SHAPE, np.float32), 65535, still(), 0.0)
    np.testing.assert_array_equal(fused[0], labels)
