# SPDX-License-Identifier: Apache-2.0
"""What a download may take in bytes and time: a server may send without end, or hardly anything."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from dinoiser_ros.errors import WeightsError

LARGEST = 64 << 30  # bytes; no model that can be used here has more
PATIENCE = 60.0  # seconds in which at least `LEAST` bytes must arrive
LEAST = 64 << 10


def room_for_files(folder: Path) -> int:
    """Bytes that a file in a folder may have: the free space, and at most `LARGEST`."""
    return min(shutil.disk_usage(folder).free, LARGEST)


def check_room(url: str, length: int, room: int) -> None:
    """Refuse a file that has, or of which there have already come, more bytes than fit.

    Args:
        url: where it comes from, for the message.
        length: of the file in bytes, or of what has come.
        room: see `room_for_files`.

    Raises:
        WeightsError: it has more.
    """
    if length > room:
        raise WeightsError(
            f"{url} has more than the {room / 1e9:.1f} GB that there is space for: check the "
            "address, free some space, or choose another folder with DINOISER_CACHE."
        )


class Pace:
    """Notices a server that keeps the line open and sends next to nothing.

    Args:
        url: where the file comes from, for the message.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._since, self._received = time.monotonic(), 0

    def check(self, received: int) -> None:
        """Judge the pace once in `PATIENCE` seconds.

        Args:
            received: bytes since the start.

        Raises:
            WeightsError: hardly any of them came lately.
        """
        now = time.monotonic()
        if now - self._since < PATIENCE:
            return
        if received - self._received < LEAST:
            raise WeightsError(
                f"{self._url} stalled: {received - self._received} bytes came in "
                f"{now - self._since:.0f} s: try again, or give a local file."
            )
        self._since, self._received = now, received
