# SPDX-License-Identifier: Apache-2.0
"""A bag: a copy of it with masks beside the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import DinoiserError, MediaError
from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.optional import require
from dinoiser_ros.media.settings import Outcome, Settings
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write
from dinoiser_ros.utils.progress import progress_bar

from .camera import BagCamera
from .files import Bag, open_bag
from .messages import COMPRESSED_IMAGE, IMAGE
from .topics import choose_topics, namespaces

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

_DEFAULT = ("labels", "confidence")
_PACKAGES = {"rosbags": "rosbags", "cv2": "opencv-python-headless"}


def segment_bag(segmenter: Segmenter, bag: Input, settings: Settings) -> Outcome:
    """Write <name>_segmented: all that was recorded, byte for byte, and each camera's results.

    Results have the topics, types and quality of service that the node gives them, the header of
    their image and its time of recording. Images that cannot be read are counted and left alone.

    Raises:
        DinoiserError, OSError: the bag cannot be read or none of its images segmented, or nothing
            written; then nothing is left under the final name.
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
        frames = sum(camera.length for camera in cameras)
        with (
            _write_errors(),
            atomic_write(target) as place,
            source.create(place) as writer,
            progress_bar(bag.path.name, frames, "frame", keep=False) as progress,
        ):
            copied = _copy(source, writer, cameras, progress)
            if not any(camera.shares.frames for camera in cameras):
                raise MediaError(f"none of its images can be read: {cameras[0].problem}")
        problems = [camera.problem for camera in cameras if camera.problem]
        if copied != source.message_count:
            problems.append(
                f"{copied} messages were copied, but the bag says it has {source.message_count}"
            )
    summary = "\n  ".join(str(camera) for camera in cameras)
    unfamiliar = any(camera.shares.mostly_unfamiliar for camera in cameras)
    return Outcome(summary, tuple(problems), tuple(notes), unfamiliar)


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


def _copy(source: Bag, writer: Any, cameras: Sequence[BagCamera], progress: Any) -> int:
    """Copy all messages and add the cameras' results; returns how many were copied."""
    targets = {c.id: source.copy(writer, c) for c in source.connections}
    by_connection = {c.id: camera for camera in cameras for c in camera.connections}
    for camera in cameras:
        camera.add_topics(source, writer)
    copied = 0
    for connection, time, data in source.messages():
        writer.write(targets[connection.id], time, data)
        copied += 1
        if receiver := by_connection.get(connection.id):
            for target, content in receiver.results(source, connection, data):
                writer.write(target, time, content)
            progress.update()
    return copied


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
