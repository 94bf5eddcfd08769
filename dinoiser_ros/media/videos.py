# SPDX-License-Identifier: Apache-2.0
"""A video: an overlay of the same size and frame rate, and lossless frames if wanted.

A video codec would change the ids of a label map; hence labels and confidence become folders of
numbered PNGs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dinoiser_ros.errors import FrameSourceError, MediaError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.progress import progress_bar

from .frame_sources import Pictures, Video, open_file, opencv_path
from .inputs import Input
from .optional import require
from .rendering import Shares, render
from .settings import Outcome, Settings

_DEFAULT = ("overlay",)
_CODEC = "mp4v"  # MPEG-4: what every build of OpenCV can write
_MOST_FRAMES = 65535  # in the codec's unit of time
_LENGTH_ERROR = 0.05  # of the frames that a container says it has; many only estimate it


def segment_video(segmenter: Segmenter, video: Input, settings: Settings) -> Outcome:
    """Write <name>_overlay.mp4 and, if wanted, the folders <name>_labels and _confidence.

    The overlay has the video's frame rate, a constant one, to four digits; an odd width or height
    loses its last column or row, since the codec has even ones only. Frames in folders are numbered
    from 000000.png on.

    Raises:
        DinoiserError, OSError: the video cannot be read or segmented, or nothing written; then
            nothing is left under the final names.
    """
    require("videos", {"cv2": "opencv-python-headless"}, "video")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said here, in words
    wanted = settings.wanted(_DEFAULT)
    places = {kind: settings.output / f"{video.name}_{kind}" for kind in wanted}
    if "overlay" in places:
        places["overlay"] = settings.output / f"{video.name}_overlay.mp4"
    for place in places.values():
        settings.check_free(place)
    try:
        source = open_file(video.path)
    except FrameSourceError as error:
        raise MediaError(str(error)) from error
    shares = Shares(segmenter.classes)
    with (
        closing(source),
        ExitStack() as stack,
        progress_bar(video.path.name, _length(source) or None, "frame", keep=False) as progress,
    ):
        sinks: dict[str, _Folder | _VideoFile] = {}
        for kind, place in places.items():
            if kind == "overlay":
                sinks[kind] = stack.enter_context(_video_sink(place, source.rate))
            else:
                sinks[kind] = stack.enter_context(_folder_sink(place))
        while (frame := source.read()) is not None:
            result = segmenter.segment(frame)
            for kind, array in render(frame, result, wanted, settings.alpha).items():
                sinks[kind].add(array)
            shares.add(result)
            progress.update()
        if not shares.frames:
            raise MediaError("no frame of it can be read: convert it to MP4.")
    return Outcome(
        f"{shares.frames} frames: {shares}",
        _missing(shares.frames, _length(source)),
        frames=shares.frames,
        unfamiliar=shares.unfamiliar_world(segmenter),
    )


def _length(source: Pictures | Video) -> int:
    """How many frames a source says it has, 0 if it does not say."""
    return source.length if isinstance(source, Video) else 0


def _missing(frames: int, length: int) -> tuple[str, ...]:
    if length and frames < length * (1 - _LENGTH_ERROR) - 1:
        return (f"only {frames} of {length} frames could be read: the file seems to be broken.",)
    return ()


class _Folder:
    """Frames as numbered PNGs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._next = folder, 0

    def add(self, frame: np.ndarray) -> None:
        """Write (H, W) uint8 or uint16."""
        Image.fromarray(frame).save(self._folder / f"{self._next:06d}.png")
        self._next += 1


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


class _VideoFile:
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
def _video_sink(path: Path, rate: float) -> Iterator[_VideoFile]:
    with atomic_write(path) as place:
        file = _VideoFile(place, rate)
        try:
            yield file
        finally:
            file.release()
        file.check()


@contextmanager
def _folder_sink(path: Path) -> Iterator[_Folder]:
    with atomic_write(path) as place:
        yield _Folder(place)
