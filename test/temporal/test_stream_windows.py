# SPDX-License-Identifier: Apache-2.0
"""A camera whose network gets windows of its pictures."""

from __future__ import annotations

import numpy as np
import pytest
from moving_pictures import coloured, texture, window

from dinoiser_ros.temporal.stream import Mask, MaskStream
from dinoiser_ros.temporal.windows import Window, choose_window

PLACE, OTHER_PLACE = texture(0), texture(1)
CLASSES = np.kron(np.random.default_rng(1).integers(0, 3, (14, 16)), np.ones((20, 20)))
CLASSES = CLASSES.astype(np.uint8)
STEP = 4  # pixels a picture, to the right
SIZE = (120, 160)
RIGHT = Window(0, 120, 120, 40)


def picture(index: int) -> np.ndarray:
    return coloured(window(PLACE, (STEP * index, 0)))


def truth(index: int) -> np.ndarray:
    return window(CLASSES, (STEP * index, 0))


def mask_of(labels: np.ndarray, context: int = 0, confidence: float = 0.9) -> Mask:
    return Mask(labels, np.full(labels.shape, confidence, np.float32), 255, context)


def follow(stream: MaskStream, first: int, last: int) -> None:
    for index in range(first, last + 1):
        assert stream.picture(picture(index), index / 10)


def right(mask: Mask | None, index: int) -> float:
    """Share of pixels."""
    assert mask is not None and mask.labels.shape == SIZE
    return float((mask.labels == truth(index)).mean())


@pytest.fixture
def stream() -> MaskStream:
    """Picture 0 has a mask, and 10 is the newest: a quarter of it was not in picture 0."""
    stream = MaskStream()
    stream.use_windows(True)
    stream.picture(picture(0), 0.0)
    assert stream.urgency is None
    stream.begin(picture(0), 0.0)
    stream.result(mask_of(truth(0)), 0.0, smooth=False)
    follow(stream, 1, 10)
    return stream


def test_the_network_is_sent_where_something_came_into_view(stream: MaskStream) -> None:
    urgency = stream.urgency
    assert urgency is not None and urgency.size == SIZE
    assert choose_window(urgency, [40]) == RIGHT


def test_a_window_completes_the_mask(stream: MaskStream) -> None:
    before = right(stream.carried(), 10)
    stream.begin(picture(10), 1.0, RIGHT)
    part = mask_of(RIGHT.of(truth(10)))
    merged = stream.result(part, 1.0, smooth=False, window=RIGHT)
    assert right(merged, 10) > 0.93 > before + 0.05
    assert merged is not None
    np.testing.assert_array_equal(RIGHT.of(merged.labels), part.labels)
    np.testing.assert_array_equal(RIGHT.of(merged.confidence), part.confidence)
    assert merged.confidence[:, :100].max() < 0.9, "what was carried is less sure"
    follow(stream, 11, 12)
    assert right(stream.carried(), 12) > 0.88 and stream.held_time == 1.0


def test_it_is_carried_to_the_newest_picture_too(stream: MaskStream) -> None:
    stream.begin(picture(8), 0.8, RIGHT)  # 10 is the newest already
    follow(stream, 11, 13)
    stream.result(mask_of(RIGHT.of(truth(8))), 0.8, smooth=False, window=RIGHT)
    assert right(stream.carried(), 13) > 0.8


def test_without_windows_nothing_is_followed_for_them(stream: MaskStream) -> None:
    stream.use_windows(False)
    stream.begin(picture(10), 1.0)
    follow(stream, 11, 12)
    assert stream.urgency is None
    stream.use_windows(True)
    stream.begin(picture(12), 1.2)
    assert stream.urgency is not None


def test_windows_take_turns(stream: MaskStream) -> None:
    """All of a picture that stands still is looked at, one part after the other."""
    seen = np.zeros(SIZE[1], bool)
    for step in range(4):
        time = 1.1 + step
        stream.picture(picture(10), time)
        urgency = stream.urgency
        assert urgency is not None
        chosen = choose_window(urgency, [40])
        seen[chosen.left : chosen.left + 40] = True
        stream.begin(picture(10), time, chosen)
        stream.result(mask_of(chosen.of(truth(10))), time, smooth=False, window=chosen)
    assert seen.mean() > 0.9


@pytest.mark.parametrize("kind", ["context", "cut", "forgotten", "nobody waits"])
def test_a_window_without_the_mask_around_it_is_nothing(stream: MaskStream, kind: str) -> None:
    stream.begin(picture(10), 1.0, RIGHT)
    if kind == "cut":
        stream.picture(coloured(window(OTHER_PLACE, (0, 0))), 1.1)
    if kind == "forgotten":
        stream.forget_masks()
    part = mask_of(RIGHT.of(truth(10)), context=int(kind == "context"))
    time = 0.9 if kind == "nobody waits" else 1.0
    assert stream.result(part, time, smooth=False, window=RIGHT) is None
    assert stream.carried() is None
    assert stream.urgency is None, "a whole picture is next"


def noisy(index: int, part: Window, seed: int) -> np.ndarray:
    labels = part.of(truth(index))
    wrong = np.random.default_rng(seed).random(labels.shape) < 0.2
    return np.where(wrong, (labels + 1) % 3, labels).astype(np.uint8)


def test_windows_are_fused_with_what_was_known_there() -> None:
    stream = MaskStream()
    stream.use_windows(True)
    stream.picture(picture(0), 0.0)
    stream.begin(picture(0), 0.0)
    stream.result(mask_of(noisy(0, Window(0, 0, *SIZE), 0)), 0.0, smooth=True)
    left = Window(0, 0, 120, 40)
    for turn in range(1, 6):
        stream.picture(picture(0), turn / 10)
        stream.begin(picture(0), turn / 10, left)
        part = mask_of(noisy(0, left, turn))
        fused = stream.result(part, turn / 10, smooth=True, window=left)
    assert fused is not None
    wrong = fused.labels != truth(0)
    assert left.of(wrong).mean() < 0.1 and 0.1 < wrong[:, 60:].mean() < 0.3
