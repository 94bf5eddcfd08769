# SPDX-License-Identifier: Apache-2.0
"""Long bags in slices of time: divided, segmented one by one, and put together again.

What is put together is what one process would have written, byte for byte: the messages are the
same, and they are written in the same order by the same code.
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.bags.camera import BagImage, FrameResult
from dinoiser_ros.media.bags.segment import BagJob, open_job
from dinoiser_ros.media.batches import batched
from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter

from .jobs import BagSlice
from .slice_file import SliceFile, write_slice

_BEGINNING, _END = 0, 2**63 - 1  # of all times of recording (ns)


def slices_of(
    segmenter: Segmenter, bag: Input, settings: Settings, most: int
) -> tuple[BagSlice, ...]:
    """Slices of about `most` images; none if the bag has no more than that.

    Slices are equally long in time, so that dividing a bag reads none of its images. The same bag
    is always divided in the same way.

    Raises:
        DinoiserError, OSError: the bag cannot be read, or its copy not be written.
    """
    with open_job(segmenter, bag, settings) as job:
        if job.frames <= most:
            return ()
        count = -(-job.frames // most)
        first, end = job.source.times
        edges = [first + (end - first) * number // count for number in range(count + 1)]
        edges[0], edges[-1] = _BEGINNING, _END  # a bag may say of itself what is not so
        folder = _folder(settings, bag)
        return tuple(
            BagSlice(bag, start, stop, folder / f"{number:06d}.slice")
            for number, (start, stop) in enumerate(zip(edges, edges[1:], strict=False))
            if start < stop
        )


def segment_slice(segmenter: Segmenter, piece: BagSlice, settings: Settings) -> int:
    """Write the results of a slice; returns how many images were segmented.

    Raises:
        DinoiserError, OSError: the bag cannot be read, or nothing written.
    """
    with open_job(segmenter, piece.entry, settings) as job:
        return write_slice(piece.path, _frames(job, piece))


def _frames(job: BagJob, piece: BagSlice) -> Iterator[tuple[int, int, FrameResult]]:
    connections = [c for camera in job.cameras for c in camera.connections]
    cameras = job.camera_of
    messages = job.source.messages(connections, piece.start, piece.stop)
    for images in batched((BagImage(cameras[m[0].id], *m) for m in messages), job.batch):
        for image, result in zip(images, job.segment(images), strict=True):
            yield image.connection.id, image.time, result


def assemble(
    segmenter: Segmenter, bag: Input, slices: Sequence[BagSlice], settings: Settings
) -> Outcome:
    """Write <name>_segmented from slices that are done, and remove them.

    Raises:
        DinoiserError, OSError: as in `segment_bag`; also if the bag was changed meanwhile.
    """
    results = _Results(slices)
    try:
        with open_job(segmenter, bag, settings) as job:
            outcome = job.write(results.of)
    finally:
        results.close()
    shutil.rmtree(_folder(settings, bag), ignore_errors=True)
    return outcome


def _folder(settings: Settings, bag: Input) -> Path:
    return settings.output / f"{bag.name}_slices.part"


class _Results:
    """The results of all slices, read when they are needed."""

    def __init__(self, slices: Sequence[BagSlice]) -> None:
        self._slices = sorted(slices, key=lambda piece: piece.start)
        self._starts = [piece.start for piece in self._slices]
        self._open: dict[int, SliceFile] = {}

    def of(self, images: Sequence[BagImage]) -> list[FrameResult]:
        """The results of images.

        Raises:
            MediaError: no slice has one of them.
        """
        return [self._of(image.connection.id, image.time) for image in images]

    def _of(self, connection: int, time: int) -> FrameResult:
        number = bisect_right(self._starts, time) - 1
        found = self._file(number).take(connection, time) if number >= 0 else None
        if found is None:
            raise MediaError("it was changed while it was segmented: start again with --fresh.")
        if not self._open[number].left:
            self._open.pop(number).close()
        return found

    def _file(self, number: int) -> SliceFile:
        if number not in self._open:
            path = self._slices[number].path
            try:
                self._open[number] = SliceFile(path)
            except Exception as error:  # whatever zipfile and json make of a broken file
                with suppress(OSError):
                    path.unlink()  # the next run makes it again
                raise MediaError(
                    f"{path} cannot be read ({error}): give the same command again."
                ) from error
        return self._open[number]

    def close(self) -> None:
        """Free all files."""
        for file in self._open.values():
            file.close()
