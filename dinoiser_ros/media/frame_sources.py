# SPDX-License-Identifier: Apache-2.0
"""Frames from pictures, videos and webcams: for `image_source` and the command line; no ROS."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from dinoiser_ros.errors import FrameSourceError, PictureError
from dinoiser_ros.pictures.decode import PictureFile
from dinoiser_ros.pictures.folders import PICTURE_SUFFIXES, is_picture_file
from dinoiser_ros.utils.sentences import sentence_of

MOST_RATE = 1000.0  # Hz
DEFAULT_RATE = 10.0  # Hz, of pictures and of videos that do not say theirs


class Source(Protocol):
    """What `image_source` publishes.

    Attributes:
        description: for the log.
        rate: frames per second that the source itself suggests; positive.
    """

    description: str
    rate: float

    def read(self) -> np.ndarray | None:
        """The next frame as (H, W, 3) uint8 RGB, or None at the end.

        Raises:
            FrameSourceError: this frame cannot be read; the next call goes on after it.
        """

    def rewind(self) -> None:
        """Go back to the first frame; raises FrameSourceError if that is not possible any more."""

    def close(self) -> None:
        """Free files and devices."""


def open_source(path: str) -> Source:
    """Open a picture, a folder of pictures, a video file or a webcam.

    Args:
        path: of a file or folder (~ is the home directory); or a webcam: "0", "/dev/video0".

    Raises:
        FrameSourceError: nothing readable is there.
    """
    if not path.strip():
        raise FrameSourceError(
            "set the parameter 'path' to a picture, a folder of pictures, a video file or a webcam "
            "(0, 1, ... or /dev/video0)"
        )
    camera = re.fullmatch(r"(?:/dev/video)?(\d+)", path.strip())
    if camera and not (Path(path).is_file() or Path(path).is_dir()):
        return Webcam(int(camera.group(1)))
    place = Path(path).expanduser()
    if place.is_dir():
        try:
            files = sorted(entry for entry in place.iterdir() if is_picture_file(entry))
        except OSError as error:
            raise FrameSourceError(f"{place} cannot be read: {error.strerror}") from error
        if not files:
            endings = ", ".join(sorted(PICTURE_SUFFIXES))
            raise FrameSourceError(f"the folder {place} has no picture in it (one of {endings})")
        return Pictures(files, f"{len(files)} pictures of {place}")
    if not place.exists():
        raise FrameSourceError(f"there is no file or folder {place}: check the parameter 'path'")
    return open_file(place)


def open_file(path: Path) -> Pictures | Video:
    """A source of the frames of a picture file, which may hold several, or of a video.

    Raises:
        FrameSourceError: it is no video; what is wrong with a picture is said when it is read.
    """
    if not path.is_file():  # reading a pipe would wait for ever
        raise FrameSourceError(f"{path} is not a file that can be read to its end")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Pictures([path], f"picture {path}")
    return Video(path)


class Pictures:
    """Picture files, one after the other; of a file with several pictures all.

    Attributes:
        rate: that of the animation, if there is one file and it is one.
    """

    def __init__(self, files: list[Path], description: str) -> None:
        self.description = description
        self.rate = DEFAULT_RATE
        self._files = files
        self._next = 0
        self._open: PictureFile | None = None
        self._page = 0
        self._only: np.ndarray | None = None  # a single picture is decoded once
        if len(files) == 1:
            try:
                with PictureFile(files[0]) as file:
                    self.rate = min(file.rate, MOST_RATE) or DEFAULT_RATE
            except PictureError:
                pass  # said when it is read

    def read(self) -> np.ndarray | None:
        """See `Source.read`."""
        if self._open is None:
            if self._next >= len(self._files):
                return None
            self._next += 1
            if self._only is not None:
                return self._only
        path = self._files[self._next - 1]
        try:
            if self._open is None:
                self._open, self._page = PictureFile(path), 0
            frame = self._open.read(self._page)
        except PictureError as error:
            self.close()
            raise picture_error(path, error) from error
        self._page += 1
        if self._page == self._open.count:
            if len(self._files) == self._open.count == 1:
                self._only = frame
            self.close()
        return frame

    def rewind(self) -> None:
        """See `Source.rewind`."""
        self.close()
        self._next = 0

    def close(self) -> None:
        """See `Source.close`."""
        if self._open is not None:
            self._open.close()
            self._open = None


def picture_error(path: Path, error: PictureError) -> FrameSourceError:
    """What is wrong with a picture file, with its name."""
    return FrameSourceError(f"the picture {path} cannot be read ({error})")


class Video:
    """A video file.

    Attributes:
        length: how many frames it says it has, 0 if it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; raises FrameSourceError if it holds no video."""
        self.description = f"video {path}"
        self._path = path
        self._capture = _open_video(path)
        if self._capture.isOpened():
            rate = self._capture.get(_cv2().CAP_PROP_FPS)
        else:
            raise FrameSourceError(
                f"{path} is neither a picture nor a video that OpenCV can read: convert it to MP4 "
                "or PNG"
            )
        self.rate = rate if 0.1 <= rate <= MOST_RATE else DEFAULT_RATE
        self.length = max(0, int(self._capture.get(_cv2().CAP_PROP_FRAME_COUNT)))

    def read(self) -> np.ndarray | None:
        """See `Source.read`."""
        try:
            found, frame = self._capture.read()
            return _rgb(frame) if found else None
        except Exception as error:  # whatever the decoder raises
            raise FrameSourceError(
                f"a frame of {self._path} cannot be read: {sentence_of(error)}"
            ) from error

    def rewind(self) -> None:
        """See `Source.rewind`."""
        # Seeking to frame 0 is inexact or refused with some formats; opening again works with all.
        self._capture.release()
        self._capture = _open_video(self._path)
        if not self._capture.isOpened():
            raise FrameSourceError(f"the video {self._path} is gone: it cannot be opened again")

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.release()


class Webcam:
    """A camera of this computer; reading waits for its next frame."""

    def __init__(self, number: int) -> None:
        """Open the camera; raises FrameSourceError if there is none."""
        self.description = f"webcam {number}"
        self._number = number
        self._capture = _capture(number)
        if not self._capture.isOpened():
            raise FrameSourceError(
                f"webcam {number} cannot be opened: is it plugged in, free, and may this user read "
                f"/dev/video{number} (group video)?"
            )
        rate = self._capture.get(_cv2().CAP_PROP_FPS)
        self.rate = rate if 0.1 <= rate <= MOST_RATE else 30.0

    def read(self) -> np.ndarray | None:
        """See `Source.read`; a camera has no end."""
        found, frame = self._capture.read()
        if found:
            return _rgb(frame)
        # A camera that was unplugged comes back only when it is opened again.
        self._capture.release()
        self._capture = _capture(self._number)
        raise FrameSourceError(
            f"webcam {self._number} gives no picture: check its cable; trying again"
        )

    def rewind(self) -> None:
        """See `Source.rewind`."""

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.release()


def _cv2() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise FrameSourceError(
            "videos and webcams need OpenCV: install python3-opencv (or pip install "
            "opencv-python-headless)"
        ) from error
    return cv2


def _capture(target: str | int) -> Any:
    return _cv2().VideoCapture(target)


def _open_video(path: Path) -> Any:
    with opencv_path(path) as place:
        return _capture(place)


@contextmanager
def opencv_path(path: Path) -> Iterator[str]:
    """A path that OpenCV can use for a file: it ends the process if one is not UTF-8.

    The file may be opened within the block, and stays open after it; it need not exist.
    """
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, f"file{path.suffix if path.suffix.isascii() else ''}")
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield name


def _rgb(bgr: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bgr[..., ::-1])
