# SPDX-License-Identifier: Apache-2.0
"""A bag: a copy of it with masks beside the images."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import DinoiserError, MediaError
from dinoiser_ros.media.datasets.pseudo_labels import frames_place, pair_folder
from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.optional import require
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.progress import progress_bar

from .camera import BagCamera, BagImage, FrameResult, segment_images
from .files import Bag, open_bag
from .messages import COMPRESSED_IMAGE, IMAGE
from .topics import choose_topics, namespaces

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_DEFAULT = ("labels", "confidence")
_PACKAGES = {"rosbags": "rosbags", "cv2": "opencv-python-headless"}


ResultsOf = Callable[[Sequence[BagImage]], list[FrameResult]]
_Message = tuple["Connection", int, bytes]
_HELD = 8  # messages for each image of a batch that are kept until it is full


def segment_bag(segmenter: Segmenter, bag: Input, settings: Settings) -> Outcome:
    """Write <name>_segmented: all that was recorded, byte for byte, and each camera's results.

    Results have the topics, types and quality of service that the node gives them, the header of
    their image and its time of recording. Images that cannot be read are counted and left alone.

    Raises:
        DinoiserError, OSError: the bag cannot be read or none of its images segmented, or nothing
            written; then nothing is left under the final name.
    """
    with open_job(segmenter, bag, settings) as job:
        return job.write(job.segment)


@contextmanager
def open_job(segmenter: Segmenter, bag: Input, settings: Settings) -> Iterator[BagJob]:
    """A bag opened for reading, and what will be written of it.

    Raises:
        DinoiserError, OSError: the bag cannot be read, or its copy not be written.
    """
    require("bags", _PACKAGES, "bags")
    wanted = settings.wanted(_DEFAULT)
    with open_bag(bag.path) as source:
        copy = settings.output / f"{bag.name}_segmented{source.suffix}" if wanted else None
        pairs = frames_place(settings.output, bag) if settings.pseudo_labels else None
        for place in filter(None, (copy, pairs)):
            settings.check_free(place)
        by_topic = _image_connections(source)
        topics, notes = choose_topics(
            list(by_topic), settings.topics, lambda topic: _first_encoding(source, by_topic[topic])
        )
        cameras = [
            BagCamera(
                topic,
                by_topic[topic],
                namespace,
                segmenter,
                wanted,
                settings.alpha,
                settings.pseudo_labels,
            )  # fmt: skip
            for topic, namespace in zip(topics, namespaces(topics), strict=True)
        ]
        if copy:
            _check_new(cameras, {connection.topic for connection in source.connections})
        yield BagJob(
            bag.path.name, source, copy, pairs, tuple(cameras), tuple(notes), segmenter,
            settings.batch,
        )  # fmt: skip


@dataclass(frozen=True)
class BagJob:
    """A bag that is segmented.

    Attributes:
        name: what people are shown.
        source: the bag, open.
        copy: where its copy will be; None for no copy.
        pairs: where its images will be with labels to train with; None for nowhere.
        cameras: its image topics.
        notes: sentences about what is left out.
        segmenter: of the images.
        batch: how many of them go through its network together.
    """

    name: str
    source: Bag
    copy: Path | None
    pairs: Path | None
    cameras: tuple[BagCamera, ...]
    notes: tuple[str, ...]
    segmenter: Segmenter
    batch: int

    @property
    def frames(self) -> int:
        """How many images all cameras have."""
        return sum(camera.length for camera in self.cameras)

    @property
    def camera_of(self) -> dict[int, BagCamera]:
        """The cameras by the ids of their connections."""
        return {c.id: camera for camera in self.cameras for c in camera.connections}

    def segment(self, images: Sequence[BagImage]) -> list[FrameResult]:
        """The results of images, see `segment_images`."""
        return segment_images(self.segmenter, self.source, images)

    def write(self, results_of: ResultsOf) -> Outcome:
        """Write what is wanted of it.

        Args:
            results_of: gives the results of images, called with all of them in their order.

        Raises:
            DinoiserError, OSError: as in `segment_bag`.
        """
        with (
            _write_errors(),
            ExitStack() as stack,
            progress_bar(self.name, self.frames, "frame", keep=False) as progress,
        ):
            copy = stack.enter_context(self._open_copy(self.copy)) if self.copy else None
            pairs = stack.enter_context(pair_folder(self.pairs)) if self.pairs else None
            for message, camera, result in self._results(results_of):
                if copy:
                    copy.add(message, camera, result)
                if camera and result:
                    camera.count(result)
                    if pairs and result.pair:
                        pairs.add(result.pair)
                    progress.update()
            if not any(camera.shares.frames for camera in self.cameras):
                raise MediaError(f"none of its images can be read: {self.cameras[0].problem}")
        problems = [camera.problem for camera in self.cameras if camera.problem]
        if copy and copy.count != self.source.message_count:
            problems.append(
                f"{copy.count} messages were copied, but the bag says it has "
                f"{self.source.message_count}"
            )
        summary = "\n  ".join(str(camera) for camera in self.cameras)
        frames = sum(camera.shares.frames for camera in self.cameras)
        strange = next(filter(None, (camera.unfamiliar_world for camera in self.cameras)), "")
        return Outcome(summary, tuple(problems), self.notes, frames, strange)

    @contextmanager
    def _open_copy(self, path: Path) -> Iterator[_Copy]:
        with atomic_write(path) as place, self.source.create(place) as writer:
            yield _Copy(self.source, writer, self.cameras)

    def _results(
        self, results_of: ResultsOf
    ) -> Iterator[tuple[_Message, BagCamera | None, FrameResult | None]]:
        """All messages in their order, those of cameras with their results."""
        by_connection = self.camera_of
        for messages in self._together(by_connection):
            images = [
                BagImage(by_connection[m[0].id], *m) for m in messages if m[0].id in by_connection
            ]
            results = iter(results_of(images) if images else ())
            for message in messages:
                camera = by_connection.get(message[0].id)
                yield message, camera, next(results) if camera else None

    def _together(self, cameras: Container[int]) -> Iterator[list[_Message]]:
        """All messages in their order, in lists with the images of a batch.

        Args:
            cameras: the ids of connections that carry images.
        """
        held: list[_Message] = []
        images = 0
        wanted = [] if self.copy else [c for camera in self.cameras for c in camera.connections]
        for message in self.source.messages(wanted):
            held.append(message)
            images += message[0].id in cameras
            if images in (0, self.batch) or len(held) == _HELD * self.batch:
                yield held
                held, images = [], 0
        if held:
            yield held


class _Copy:
    """A copy of a bag that gets the results of its cameras.

    Args:
        source: the bag.
        writer: of the copy.
        cameras: those of the bag.

    Attributes:
        count: how many messages were copied.
    """

    def __init__(self, source: Bag, writer: Any, cameras: Sequence[BagCamera]) -> None:
        self.count = 0
        self._source, self._writer = source, writer
        self._targets = {c.id: source.copy(writer, c) for c in source.connections}
        for camera in cameras:
            camera.add_topics(source, writer)

    def add(self, message: _Message, camera: BagCamera | None, result: FrameResult | None) -> None:
        """Copy a message and, if it is an image, add its results."""
        connection, time, data = message
        self._writer.write(self._targets[connection.id], time, data)
        self.count += 1
        if camera and result:
            for target, content in camera.messages(self._source, connection, data, result):
                self._writer.write(target, time, content)


def _image_connections(bag: Bag) -> dict[str, list[Connection]]:
    """The connections that carry images and have a message, by topic."""
    found: dict[str, list[Connection]] = {}
    for connection in bag.connections:
        if connection.msgtype in (IMAGE, COMPRESSED_IMAGE) and connection.msgcount:
            found.setdefault(connection.topic, []).append(connection)
    return found


def _first_encoding(bag: Bag, connections: Sequence[Connection]) -> str:
    """The encoding or compressed format of the first image, "" if it cannot be read."""
    for connection, _, data in bag.messages(connections):
        try:
            message = bag.decode(data, connection.msgtype)
        except Exception:  # said later, when frames are counted
            return ""
        return getattr(message, "encoding", "") or getattr(message, "format", "")
    return ""


def _check_new(cameras: Sequence[BagCamera], taken: set[str]) -> None:
    for camera in cameras:
        for topic in camera.topics.values():
            if topic in taken:
                raise MediaError(
                    f"the bag has a topic {topic} already: give the one that was recorded, not one "
                    "that was segmented."
                )


@contextmanager
def _write_errors() -> Iterator[None]:
    """Whatever rosbags' writers raise, as `MediaError`."""
    try:
        yield
    except (DinoiserError, OSError):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise MediaError(f"the copy cannot be written ({reason}).") from error
