# SPDX-License-Identifier: Apache-2.0
"""One image topic of a bag, and what is written for its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dinoiser_ros.media.batches import segment_together
from dinoiser_ros.media.datasets.pseudo_labels import IDS, VIEW, Pair, pair_of
from dinoiser_ros.media.rendering import Shares, class_pixels, render
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.segmentation import DinoiserError, Segmentation, Segmenter

from .files import Bag
from .messages import IMAGE, LABEL_INFO, image, label_info
from .topics import OUTPUT_NAMES

if TYPE_CHECKING:
    from rosbags.interfaces import Connection


Content = bytes | memoryview


@dataclass(frozen=True)
class FrameResult:
    """What one image of a bag gave.

    Attributes:
        contents: the messages to write, encoded, by the name of the result; and a pair's files.
        counts: the pixels of each class, in the order of the ids.
        pixels: those of the image.
        error: why the image was left alone, "" if it was segmented.
        familiar: as of `Segmentation`.
    """

    contents: Mapping[str, Content] = field(default_factory=dict)
    counts: Sequence[int] = ()
    pixels: int = 0
    error: str = ""
    familiar: bool = True

    @property
    def pair(self) -> Pair | None:
        """The files to train with, if they were made."""
        if VIEW not in self.contents:
            return None
        return Pair(bytes(self.contents[VIEW]), bytes(self.contents[IDS]))


class BagCamera:
    """An image topic whose frames are segmented.

    Args:
        topic: the image topic.
        connections: the bag's, of this topic.
        namespace: where the topics of results live, such as "/dinoiser".
        segmenter: with its prompts set.
        wanted: the results to write, of `settings.RESULTS`.
        alpha: strength of overlays (0 to 1).
        pseudo_labels: whether a pair to train with is made of each image.

    Attributes:
        length: how many messages the topic has.
        shares: of the frames that were segmented.
        topics: those of the results. label_info is the first: readers give messages of one time
            in the order of their topics.
    """

    def __init__(
        self,
        topic: str,
        connections: Sequence[Connection],
        namespace: str,
        segmenter: Segmenter,
        wanted: Sequence[str],
        alpha: float,
        pseudo_labels: bool = False,
    ) -> None:
        self._pseudo_labels = pseudo_labels
        self.connections = connections
        self.length = sum(connection.msgcount for connection in connections)
        self.shares = Shares(segmenter.classes)
        self.topics = {"label_info": f"{namespace}/label_info"}
        self.topics |= {name: f"{namespace}/{OUTPUT_NAMES[name]}" for name in wanted}
        self._name, self._namespace = topic, namespace
        self._segmenter, self._wanted, self._alpha = segmenter, wanted, alpha
        self._targets: dict[str, Connection] = {}
        self._bad, self._first_error, self._told = 0, "", False

    def __str__(self) -> str:
        return f"{self._name} as {self._namespace}, {self.shares.frames} frames: {self.shares}"

    @property
    def problem(self) -> str:
        """What is wrong with the images that were not segmented, "" if all were."""
        if not self._bad:
            return ""
        count = f"{self._bad} of {self.length} images"
        return f"{self._name}: {count} were left alone; of the first one, {self._first_error}"

    def add_topics(self, bag: Bag, writer: Any) -> None:
        """Declare the topics of the results to a writer of `bag`."""
        for key, topic in self.topics.items():
            type_name = LABEL_INFO if key == "label_info" else IMAGE
            reliable = key in ("label_info", "overlay")
            self._targets[key] = bag.add(writer, topic, type_name, reliable)

    @property
    def unfamiliar_world(self) -> str:
        """See `Shares.unfamiliar_world`."""
        return self.shares.unfamiliar_world(self._segmenter)

    def result(self, bag: Bag, header: Any, frame: np.ndarray, result: Segmentation) -> FrameResult:
        """What is to be written of an image that was segmented. Nothing is counted.

        Args:
            bag: the image's.
            header: likewise.
            frame: (H, W, 3) uint8 RGB.
            result: of this image.
        """
        contents: dict[str, Content] = {
            key: bag.encode(image(bag.store, header, pixels), IMAGE)
            for key, pixels in render(frame, result, self._wanted, self._alpha).items()
        }
        if self._pseudo_labels:
            pair = pair_of(frame, result, self._segmenter.shorter_side(self._segmenter.options))
            contents |= {VIEW: pair.view, IDS: pair.ids}
        return FrameResult(
            contents, class_pixels(result), result.labels.size, familiar=result.familiar
        )

    def messages(
        self, bag: Bag, connection: Connection, data: bytes, result: FrameResult
    ) -> list[tuple[Connection, Content]]:
        """What is written to a copy for one image; nothing if it was left alone.

        Args:
            bag: the image's.
            connection: likewise.
            data: the image's message.
            result: what `segment_images` made of it, here or in another process.
        """
        if result.error:
            return []
        written: list[tuple[Connection, Content]] = []
        if not self._told:  # before the first mask, and never again: the prompts stay
            self._told = True
            header = bag.decode(data, connection.msgtype).header
            threshold = self._segmenter.confidence_threshold
            info = label_info(bag.store, header, self._segmenter.classes, threshold)
            written.append((self._targets["label_info"], bag.encode(info, LABEL_INFO)))
        contents = result.contents.items()
        return written + [(self._targets[k], data) for k, data in contents if k in self._targets]

    def count(self, result: FrameResult) -> None:
        """Count an image, as segmented or as left alone."""
        if result.error:
            self._bad += 1
            self._first_error = self._first_error or result.error
        else:
            self.shares.add_counts(result.counts, result.pixels, result.familiar)


class BagImage(NamedTuple):
    """A message of a camera: its connection, time of recording (ns) and content."""

    camera: BagCamera
    connection: Connection
    time: int
    data: bytes


def segment_images(segmenter: Segmenter, bag: Bag, images: Sequence[BagImage]) -> list[FrameResult]:
    """What images give; of those that cannot be read or segmented, why. Nothing is counted.

    Args:
        segmenter: with its prompts set; the images go through its network together.
        bag: theirs.
        images: of any of its cameras.
    """
    found: dict[int, FrameResult] = {}
    frames: dict[int, tuple[Any, np.ndarray]] = {}
    for number, entry in enumerate(images):
        try:
            message = bag.decode(entry.data, entry.connection.msgtype)
            frames[number] = message.header, rgb_from_message(message)
        except Exception as error:  # whatever a library does with bytes that it did not expect
            found[number] = _left_alone(error)
    results = segment_together(segmenter, [frame for _, frame in frames.values()])
    for (number, (header, frame)), result in zip(frames.items(), results, strict=True):
        if isinstance(result, DinoiserError):
            found[number] = _left_alone(result)
        elif isinstance(result, Exception):
            raise result
        else:
            found[number] = images[number].camera.result(bag, header, frame, result)
    return [found[number] for number in range(len(images))]


def _left_alone(error: Exception) -> FrameResult:
    return FrameResult(error=str(error) or type(error).__name__)
