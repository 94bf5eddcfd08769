# SPDX-License-Identifier: Apache-2.0
"""Writing a video with OpenCV, checked and under its name only once it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dinoiser_ros.errors import MediaError
from dinoiser_ros.utils.atomic_files import atomic_write

from .frame_sources import Video, opencv_path

_CODEC = "mp4v"  # MPEG-4: what every build of OpenCV can write
_MOST_FRAMES = 65535  # in the codec's unit of time


def storable_rate(rate: float) -> float:
    """A frame rate that MPEG-4 can store, at most 0.05 % away.

    OpenCV writes a rate as whole frames in 1, 10, 100 or 1000 seconds, whichever fits first; the
    codec has 16 bits for the frames.

    Args:
        rate: Hz, 0.1 to 1000.
    """
    for seconds in (1000, 100, 10, 1):
        frames = round(rate * seconds)
        if frames <= _MOST_FRAMES:
            return frames / seconds
    return rate


class VideoFile:
    """Frames as a video; `close` checks that it has all of them."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: Any = None
        self._size = 0, 0
        self._frames = 0

    def add(self, frame: np.ndarray) -> None:
        """Write (H, W, 3) uint8 RGB; the first frame decides the size."""
        import cv2

        height, width = frame.shape[:2]
        if self._writer is None:
            self._size = width, height
            code = cv2.VideoWriter_fourcc(*_CODEC)  # type: ignore[attr-defined]  # not in its stubs
            rate = storable_rate(self._rate)
            with opencv_path(self._path) as place:
                self._writer = cv2.VideoWriter(place, code, rate, (width, height))
            if not self._writer.isOpened():
                raise MediaError(f"OpenCV cannot write a {width}x{height} video with {_CODEC}.")
        if self._size != (width, height):
            raise MediaError(
                f"its pictures differ in size ({self._size[0]}x{self._size[1]}, then "
                f"{width}x{height}): take them apart, or give --save labels confidence."
            )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def release(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def check(self) -> None:
        """Raise MediaError if frames are missing: OpenCV reports no errors of writing."""
        if not self._frames:
            return
        with closing(Video(self._path)) as written:
            if written.length != self._frames:
                raise MediaError(
                    f"only {written.length} of {self._frames} frames could be written: is the disk "
                    "full?"
                )


@contextmanager
def video_sink(path: Path, rate: float) -> Iterator[VideoFile]:
    """A video to add frames to; it is there under its name once the block has ended well.

    Args:
        path: of the file.
        rate: frames per second, 0.1 to 1000.

    Raises:
        MediaError: it cannot be written.
    """
    with atomic_write(path) as place:
        file = VideoFile(place, rate)
        try:
            yield file
        finally:
            file.release()
        file.check()
