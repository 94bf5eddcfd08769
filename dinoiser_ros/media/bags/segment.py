# SPDX-License-Identifier: Apache-2.0
"""A bag: a copy of it with masks beside the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import DinoiserError, MediaError
from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.optional import require
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.progress import progress_bar

from .camera import BagCamera, FrameResult
from .files import Bag, open_bag
from .messages import COMPRESSED_IMAGE, IMAGE
from .topics import choose_topics, namespaces

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_DEFAULT = ("labels", "confidence")
_PACKAGES = {"rosbags": "rosbags", "cv2": "opencv-python-headless"}


ResultOf = Callable[[BagCamera, "Connection", int, bytes], FrameResult]


def segment_bag(segmenter: Segmenter, bag: Input, settings: Settings) -> Outcome:
    """Write <name>_segmented: all that was recorded, byte for byte, and each camera's results.

    Results have the topics, types and quality of service that the node gives them, the header of
    their image and its time of recording. Images that cannot be read are counted and left alone.

    Raises:
        DinoiserError, OSError: the bag cannot be read or none of its images segmented, or nothing
            written; then nothing is left under the final name.
    """
    with open_job(segmenter, bag, settings) as job:
        return job.write(
            lambda camera, connection, _, data: camera.segment(job.source, connection, data)
        )


@contextmanager
def open_job(segmenter: Segmenter, bag: Input, settings: Settings) -> Iterator[BagJob]:
    """A bag opened for reading, and what will be written of it.

    Raises:
        DinoiserError, OSError: the bag cannot be read, or its copy not be written.
    """
    require("bags", _PACKAGES, "bags")
    wanted = settings.wanted(_DEFAULT)
    with open_bag(bag.path) as source:
        target = settings.output / f"{bag.name}_segmented{source.suffix}"
        settings.check_free(target)
        by_topic = _image_connections(source)
        topics, notes = choose_topics(
            list(by_topic), settings.topics, lambda topic: _first_encoding(source, by_topic[topic])
        )
        cameras = [
            BagCamera(topic, by_topic[topic], namespace, segmenter, wanted, settings.alpha)
            for topic, namespace in zip(topics, namespaces(topics), strict=True)
        ]
        _check_new(cameras, {connection.topic for connection in source.connections})
        yield BagJob(bag.path.name, source, target, tuple(cameras), tuple(notes))


@dataclass(frozen=True)
class BagJob:
    """A bag that is segmented.

    Attributes:
        name: what people are shown.
        source: the bag, open.
        target: where its copy will be.
        cameras: its image topics.
        notes: sentences about what is left out.
    """

    name: str
    source: Bag
    target: Path
    cameras: tuple[BagCamera, ...]
    notes: tuple[str, ...]

    @property
    def frames(self) -> int:
        """How many images all cameras have."""
        return sum(camera.length for camera in self.cameras)

    @property
    def camera_of(self) -> dict[int, BagCamera]:
        """The cameras by the ids of their connections."""
        return {c.id: camera for camera in self.cameras for c in camera.connections}

    def write(self, result_of: ResultOf) -> Outcome:
        """Copy all messages and add the cameras' results.

        Args:
            result_of: gives the result of an image: its camera, connection, time (ns) and message.

        Raises:
            DinoiserError, OSError: as in `segment_bag`.
        """
        with (
            _write_errors(),
            atomic_write(self.target) as place,
            self.source.create(place) as writer,
            progress_bar(self.name, self.frames, "frame", keep=False) as progress,
        ):
            copied = self._copy(writer, result_of, progress)
            if not any(camera.shares.frames for camera in self.cameras):
                raise MediaError(f"none of its images can be read: {self.cameras[0].problem}")
        problems = [camera.problem for camera in self.cameras if camera.problem]
        if copied != self.source.message_count:
            problems.append(
                f"{copied} messages were copied, but the bag says it has "
                f"{self.source.message_count}"
            )
        summary = "\n  ".join(str(camera) for camera in self.cameras)
        frames = sum(camera.shares.frames for camera in self.cameras)
        strange = next(filter(None, (camera.unfamiliar_world for camera in self.cameras)), "")
        return Outcome(summary, tuple(problems), self.notes, frames, strange)

    def _copy(self, writer: Any, result_of: ResultOf, progress: Any) -> int:
        """Write everything; returns how many messages were copied."""
        source, by_connection = self.source, self.camera_of
        targets = {c.id: source.copy(writer, c) for c in source.connections}
        for camera in self.cameras:
            camera.add_topics(source, writer)
        copied = 0
        for connection, time, data in source.messages():
            writer.write(targets[connection.id], time, data)
            copied += 1
            if receiver := by_connection.get(connection.id):
                result = result_of(receiver, connection, time, data)
                for target, content in receiver.messages(source, connection, data, result):
                    writer.write(target, time, content)
                progress.update()
        return copied


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
