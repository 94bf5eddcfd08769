# SPDX-License-Identifier: Apache-2.0
"""Windows of images: which one is the most urgent."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.temporal.window_shares import window_shares
from dinoiser_ros.temporal.windows import Urgency, Window, choose_window


def test_a_window_is_a_view_of_its_part() -> None:
    image = np.arange(60).reshape(4, 5, 3)
    part = Window(1, 2, 2, 3).of(image)
    np.testing.assert_array_equal(part, image[1:3, 2:5])
    assert np.shares_memory(part, image)


@st.composite
def urgencies(draw: st.DrawFn) -> tuple[Urgency, int]:
    size = draw(st.integers(1, 900)), draw(st.integers(1, 900))
    length = draw(st.integers(1, max(size)))
    values = draw(st.lists(st.integers(0, 9), min_size=1, max_size=64))
    return Urgency(size, np.array(values, np.float32)), length


def test_a_shorter_window_is_taken_where_it_is_enough() -> None:
    values = np.zeros(16, np.float32)
    values[2] = 10.0
    values[10:14] = 2.0
    assert choose_window(Urgency((10, 160), values), [40, 20]) == Window(0, 10, 10, 20)
    values[2] = 0.0
    assert choose_window(Urgency((10, 160), values), [40, 20]) == Window(0, 100, 10, 40)
    assert choose_window(Urgency((10, 160), values), [20]).width == 20


def test_windows_are_not_halved_below_the_least_share() -> None:
    assert window_shares(0.25) == [0.25, 0.125] and window_shares(0.15) == [0.15]


@settings(deadline=None)
@given(urgencies())
def test_it_lies_in_the_image_and_spans_the_shorter_side(case: tuple[Urgency, int]) -> None:
    urgency, length = case
    height, width = urgency.size
    window = choose_window(urgency, [length])
    across = height <= width
    assert (window.width if across else window.height) == length
    assert (window.height if across else window.width) == min(height, width)
    assert 0 <= window.left <= width - window.width and 0 <= window.top <= height - window.height


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=40), st.integers(1, 4))
def test_no_other_window_is_more_urgent(values: list[int], covered: int) -> None:
    """A part of the image is 4 pixels, a window some parts."""
    urgency = Urgency((10, 4 * len(values)), np.array(values, np.float32))
    window = choose_window(urgency, [4 * covered])
    assert window.left % 4 == 0
    found = sum(values[window.left // 4 :][:covered])
    assert found == max(sum(values[i : i + covered]) for i in range(len(values) - covered + 1))
