# SPDX-License-Identifier: Apache-2.0
"""A camera's latest messages, a few and no more, for people who point at what they just saw."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.messages.stamps import stamp_of

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image

SPACING = 0.2  # seconds between two that are kept, besides the newest
MOST_IMAGES = 24  # about 5 s
MOST_BYTES = 64 << 20
TOLERANCE = 0.25  # seconds from the stamp that is asked for


class RecentImages:
    """Keeps messages as they came, so that keeping costs no time; may be used from any thread."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Image | CompressedImage]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, message: Image | CompressedImage, received: float) -> None:
        """Keep a message; it replaces the newest one if that came just after another.

        Args:
            received: monotonic seconds when it arrived.
        """
        with self._lock:
            if len(self._kept) > 1 and self._kept[-1][0] - self._kept[-2][0] < SPACING:
                self._bytes -= len(self._kept.pop()[1].data)
            self._kept.append((received, message))
            self._bytes += len(message.data)
            while len(self._kept) > MOST_IMAGES or (
                self._bytes > MOST_BYTES and len(self._kept) > 1
            ):
                self._bytes -= len(self._kept.popleft()[1].data)

    def nearest(self, stamp: int) -> Image | CompressedImage:
        """The message whose stamp is nearest to one; for 0 the newest.

        Args:
            stamp: nanoseconds.

        Raises:
            ExampleError: none has come, or none with a stamp within `TOLERANCE`.
        """
        with self._lock:
            messages = [message for _, message in self._kept]
        if not messages:
            raise ExampleError("No image of this camera has come yet: send the picture instead.")
        if stamp == 0:
            return messages[-1]
        found = min(messages, key=lambda message: abs(stamp_of(message) - stamp))
        distance = (stamp_of(found) - stamp) / 1e9
        if abs(distance) > TOLERANCE:
            raise ExampleError(
                f"No image is kept within {TOLERANCE:g} s of this stamp, the nearest is "
                f"{abs(distance):.2f} s {'later' if distance > 0 else 'earlier'}: only about "
                f"{MOST_IMAGES * SPACING:.0f} s are kept; send the picture instead."
            )
        return found
