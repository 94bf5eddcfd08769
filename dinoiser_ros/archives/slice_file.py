# SPDX-License-Identifier: Apache-2.0
"""What a slice of a bag gave, in a file: a ZIP of the messages, with a list of its frames."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from dinoiser_ros.media.bags.camera import FrameResult
from dinoiser_ros.utils.atomic_files import atomic_write

_FRAMES = "frames.json"
# Not compressed: that would take longer than all else that is done with a labelled frame.


def write_slice(path: Path, frames: Iterable[tuple[int, int, FrameResult]]) -> int:
    """Write a slice completely or not at all.

    Args:
        path: the file; one that is there is replaced.
        frames: connection id, time (ns) and result of each image.

    Returns:
        How many images were segmented.

    Raises:
        OSError: it cannot be written.
    """
    rows = []
    with (
        atomic_write(path) as place,
        ZipFile(place, "w", ZIP_STORED) as file,
    ):
        for number, (connection, time, result) in enumerate(frames):
            for name, content in result.contents.items():
                file.writestr(f"{number}/{name}", bytes(content))
            kept = list(result.contents)
            counts = list(result.counts), result.pixels
            rows.append((connection, time, kept, *counts, result.familiar, result.error))
        file.writestr(_FRAMES, json.dumps(rows))
    return sum(not row[-1] for row in rows)


class SliceFile:
    """A slice that was written; each frame is read once.

    Raises:
        OSError, ValueError, KeyError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._file = ZipFile(path)
        self._rows = json.loads(self._file.read(_FRAMES))
        self._numbers: dict[tuple[int, int], deque[int]] = defaultdict(deque)
        for number, (connection, time, *_) in enumerate(self._rows):
            self._numbers[connection, time].append(number)
        self.left = len(self._rows)

    def take(self, connection: int, time: int) -> FrameResult | None:
        """The next result of a connection at a time (ns), None if there is none."""
        numbers = self._numbers[connection, time]
        if not numbers:
            return None
        number = numbers.popleft()
        self.left -= 1
        _, _, names, counts, pixels, familiar, error = self._rows[number]
        contents = {name: self._file.read(f"{number}/{name}") for name in names}
        return FrameResult(contents, counts, pixels, error, familiar)

    def close(self) -> None:
        """Free the file."""
        self._file.close()
