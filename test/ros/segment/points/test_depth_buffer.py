# SPDX-License-Identifier: Apache-2.0
"""Depth finds its image by stamp, whichever comes first, in bounded memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.ros.segment.points.depth_buffer import DepthBuffer

MS = 10**6  # nanoseconds


def message(size: int = 1) -> Any:
    return SimpleNamespace(data=bytes(size))


def filled(stamps: list[int]) -> tuple[DepthBuffer, dict[int, Any]]:
    buffer, messages = DepthBuffer(), {stamp: message() for stamp in stamps}
    for stamp, depth in messages.items():
        buffer.add(stamp * MS, depth)
    return buffer, messages


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=25, unique=True).map(sorted),
    st.integers(1, 400),
    st.integers(0, 25),
)
@settings(max_examples=200, deadline=None)
def test_the_nearest_wins_whether_it_came_before_or_after(
    stamps: list[int], image: int, before: int
) -> None:
    buffer, messages = filled(stamps[:before])
    match = buffer.expect(image * MS)
    for stamp in stamps[before:]:
        messages[stamp] = message()
        buffer.add(stamp * MS, messages[stamp])
    distance = min(abs(stamp - image) for stamp in stamps)
    assert match.message in [messages[s] for s in stamps if abs(s - image) == distance]
    assert match.final == (stamps[-1] >= image)
    assert match.within(distance / 1e3) is match.message
    assert match.within((distance - 0.5) / 1e3) is None


def test_an_image_keeps_its_depth_however_long_it_takes() -> None:
    buffer, messages = filled([100])
    match = buffer.expect(101 * MS)
    for stamp in range(133, 40_000, 33):
        buffer.add(stamp * MS, message())
    assert match.within(0.01) is messages[100]
    assert buffer.expect(101 * MS).within(0.01) is None, "it was let go of but for the image"


def test_memory_is_bounded_by_bytes_too() -> None:
    buffer = DepthBuffer()
    for stamp in range(10):
        buffer.add(stamp * MS, message(30_000_000))
    assert buffer.expect(9 * MS).within(0.0001) is not None
    assert buffer.expect(7 * MS).within(0.0001) is None


def test_a_bag_that_begins_anew() -> None:
    """Its first image must not be taken for one whose depth is long past."""
    buffer, _ = filled([5000, 5033])
    depth = message()
    buffer.add(100 * MS, depth)
    match = buffer.expect(133 * MS)
    assert not match.final
    later = message()
    buffer.add(133 * MS, later)
    assert match.final and match.within(0.001) is later


def test_an_image_that_is_gone_costs_nothing() -> None:
    buffer, _ = filled([100])
    matches = [buffer.expect(100 * MS) for _ in range(5)]
    del matches
    assert len(buffer._matches) == 0
