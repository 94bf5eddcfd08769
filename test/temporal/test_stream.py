# SPDX-License-Identifier: Apache-2.0
"""A camera's pictures and masks: which one is carried where, and what makes it start afresh."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
from moving_pictures import coloured, texture, window

from dinoiser_ros.temporal.stream import MAX_AGE, MAX_GAP, Mask, MaskStream

PLACE, OTHER_PLACE = texture(0), texture(1)
CLASSES = np.zeros(PLACE.shape, np.uint8)  # a box that is seen of every window
CLASSES[110:160, 130:190] = 1
STEP = 3  # pixels a picture, to the right


def picture(index: int) -> np.ndarray:
    return coloured(window(PLACE, (STEP * index, 0)))


def truth(index: int) -> np.ndarray:
    return window(CLASSES, (STEP * index, 0))


def mask_of(labels: np.ndarray, context: Hashable = 0) -> Mask:
    return Mask(labels, np.full(labels.shape, 0.9, np.float32), 255, context)


def drive(stream: MaskStream, first: int, last: int) -> None:
    for index in range(first, last + 1):
        assert stream.picture(picture(index), index / 10)


def overlap(mask: Mask | None, index: int) -> float:
    assert mask is not None
    found, box = mask.labels == 1, truth(index) == 1
    return float((found & box).sum() / (found | box).sum())


@pytest.fixture
def stream() -> MaskStream:
    """Picture 0 is with the network, and 5 is the newest."""
    stream = MaskStream()
    assert not stream.picture(picture(0), 0.0)
    stream.begin(picture(0), 0.0)
    drive(stream, 1, 5)
    return stream


def test_a_late_mask_is_carried_to_now(stream: MaskStream) -> None:
    assert stream.carried() is None and not stream.holds_mask
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    assert overlap(stream.carried(), 5) > 0.95 > 0.7 > overlap(mask_of(truth(0)), 5)
    stream.begin(picture(5), 0.5)
    drive(stream, 6, 9)
    assert overlap(stream.carried(), 9) > 0.93, "while the next one is computed"
    stream.result(mask_of(truth(5)), 0.5, smooth=False)
    assert overlap(stream.carried(), 9) > 0.95 and stream.held_time == 0.5


def test_a_picture_that_was_overtaken_can_be_begun(stream: MaskStream) -> None:
    stream.begin(picture(3), 0.3)  # 5 is the newest already
    drive(stream, 6, 7)
    stream.result(mask_of(truth(3)), 0.3, smooth=False)
    assert overlap(stream.carried(), 7) > 0.95


def test_a_picture_may_be_begun_before_it_is_followed(stream: MaskStream) -> None:
    stream.begin(picture(6), 0.6)
    drive(stream, 6, 8)
    stream.result(mask_of(truth(6)), 0.6, smooth=False)
    assert overlap(stream.carried(), 8) > 0.95


def test_confidence_is_lower_than_it_was(stream: MaskStream) -> None:
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    carried = stream.carried()
    assert carried is not None and 0.3 < carried.confidence.mean() < 0.9


@pytest.mark.parametrize("kind", ["cut", "gap", "size"])
def test_a_cut_a_jump_in_time_and_another_size_start_afresh(stream: MaskStream, kind: str) -> None:
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    stream.begin(picture(5), 0.5)
    image, time = {
        "cut": (coloured(window(OTHER_PLACE, (0, 0))), 0.6),
        "gap": (picture(6), 0.6 + MAX_GAP),
        "size": (picture(6)[:100], 0.6),
    }[kind]
    assert not stream.picture(image, time)
    assert stream.carried() is None
    stream.result(mask_of(truth(5)), 0.5, smooth=False)
    assert stream.carried() is None, "what was with the network is of the time before"
    stream.begin(image, time)
    stream.result(mask_of(np.zeros(image.shape[:2], np.uint8)), time, smooth=False)
    assert stream.carried() is not None


def test_forgotten_masks_are_not_carried(stream: MaskStream) -> None:
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    stream.forget_masks()
    assert stream.carried() is None
    stream.reset()
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    assert stream.carried() is None


def test_a_mask_gets_too_old(stream: MaskStream) -> None:
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    for index in range(1, 20):
        assert stream.picture(picture(5), 0.5 + index)
        assert (stream.carried() is not None) == (0.5 + index <= MAX_AGE)


def test_a_result_that_nobody_waits_for_is_taken_as_it_is(stream: MaskStream) -> None:
    mask = mask_of(truth(2))
    assert stream.result(mask, 0.2, smooth=True) is not None
    assert stream.carried() is None


def noisy(index: int) -> Mask:
    labels = truth(index)
    wrong = np.random.default_rng(index).random(labels.shape) < 0.2
    return mask_of(np.where(wrong, 1 - labels, labels).astype(np.uint8))


def errors(mask: Mask, index: int) -> float:
    return float((mask.labels != truth(index)).mean())


def test_smoothing_corrects_what_changes_from_mask_to_mask() -> None:
    stream = MaskStream()
    for index in range(8):
        stream.picture(picture(index), index / 10)
        stream.begin(picture(index), index / 10)
        fused = stream.result(noisy(index), index / 10, smooth=True)
    assert errors(fused, 7) < 0.5 * errors(noisy(7), 7)


@pytest.mark.parametrize("kind", ["context", "cut"])
def test_smoothing_starts_afresh(kind: str) -> None:
    stream = MaskStream()
    for index in range(4):
        stream.picture(picture(index), index / 10)
        stream.begin(picture(index), index / 10)
        stream.result(mask_of(truth(index)), index / 10, smooth=True)
    image = picture(4) if kind == "context" else coloured(window(OTHER_PLACE, (0, 0)))
    stream.picture(image, 0.4)
    stream.begin(image, 0.4)
    new = mask_of(np.full(image.shape[:2], 1, np.uint8), 1 if kind == "context" else 0)
    np.testing.assert_array_equal(stream.result(new, 0.4, smooth=True).labels, new.labels)
