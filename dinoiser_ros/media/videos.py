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

import numpy as np
from PIL import Image

from dinoiser_ros.errors import FrameSourceError, MediaError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.progress import progress_bar

from .batches import batched, segment_together
from .datasets.pseudo_labels import frames_place, pair_folder, pair_of
from .frame_sources import Pictures, Video, open_file
from .inputs import Input
from .optional import require
from .rendering import Shares, render
from .settings import Outcome, Settings
from .video_file import VideoFile, video_sink

_DEFAULT = ("overlay",)
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
    pairs_place = frames_place(settings.output, video)
    for place in (*places.values(), *([pairs_place] if settings.pseudo_labels else [])):
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
        sinks: dict[str, _Folder | VideoFile] = {}
        for kind, place in places.items():
            if kind == "overlay":
                sinks[kind] = stack.enter_context(video_sink(place, source.rate))
            else:
                sinks[kind] = stack.enter_context(_folder_sink(place))
        pairs = stack.enter_context(pair_folder(pairs_place)) if settings.pseudo_labels else None
        shorter_side = segmenter.shorter_side(segmenter.options)
        for frames in batched(_frames(source), settings.batch):
            for frame, result in zip(frames, segment_together(segmenter, frames), strict=True):
                if isinstance(result, Exception):
                    raise result
                for kind, array in render(frame, result, wanted, settings.alpha).items():
                    sinks[kind].add(array)
                if pairs is not None:
                    pairs.add(pair_of(frame, result, shorter_side))
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


def _frames(source: Pictures | Video) -> Iterator[np.ndarray]:
    while (frame := source.read()) is not None:
        yield frame


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


@contextmanager
def _folder_sink(path: Path) -> Iterator[_Folder]:
    with atomic_write(path) as place:
        yield _Folder(place)
