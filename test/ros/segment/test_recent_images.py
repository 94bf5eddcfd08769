# SPDX-License-Identifier: Apache-2.0
"""The few images of a camera that are kept."""

from __future__ import annotations

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.ros.segment.teaching.recent_images import (
    MOST_BYTES,
    MOST_IMAGES,
    RecentImages,
)


def image(seconds: float, size: int = 3) -> Image:
    nanoseconds = round(seconds * 1e9)
    stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return Image(header=Header(stamp=stamp), data=bytes(size))


def test_the_nearest_of_a_fast_camera_is_close_and_few_are_kept() -> None:
    recent = RecentImages()
    for number in range(600):
        recent.put(image(10 + number / 60), number / 60)
    newest = 10 + 599 / 60
    assert stamp_of(recent.nearest(0)) == stamp_of(image(newest))
    for back in (0.0, 0.3, 1.7, 4.0):
        asked = round((newest - back) * 1e9)
        assert abs(stamp_of(recent.nearest(asked)) - asked) <= 0.15e9
    with pytest.raises(ExampleError, match="send the picture"):
        recent.nearest(round((newest - 9) * 1e9))
    assert len(recent._kept) <= MOST_IMAGES


def test_large_images_are_bounded_by_their_bytes() -> None:
    recent = RecentImages()
    for number in range(8):
        recent.put(image(1 + number, MOST_BYTES // 3), float(number))
    assert 1 <= len(recent._kept) <= 3 and stamp_of(recent.nearest(0)) == 8 * 10**9


def test_without_an_image_it_says_what_to_do() -> None:
    with pytest.raises(ExampleError, match="send the picture"):
        RecentImages().nearest(0)
