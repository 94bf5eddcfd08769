# SPDX-License-Identifier: Apache-2.0
"""The publishers of one camera: topics, QoS, and only what somebody subscribes to."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.messages.topic_names import class_topic_names
from dinoiser_ros.msg import ClassMaskArray, MaskOrigin

from .result_messages import (
    class_mask_message,
    class_masks_message,
    confidence_message,
    label_info_message,
    mask_message,
    mask_origin_message,
    overlay_message,
)

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from rclpy.node import Node
    from std_msgs.msg import Header

    from dinoiser_ros.segmentation import Segmentation, SegmentationClass

# For people and planners: a reliable publisher serves best-effort subscribers too.
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
)
# Costmap layers join late and need the names before the first mask.
LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
MAX_CLASS_TOPICS = 64  # a publisher takes milliseconds to create, and nobody wires more by hand
_BIG = 4_000_000  # pixels; publishing 48 million blocks all of Python for 60 ms
_PUBLISHERS: dict[str, tuple[type, QoSProfile]] = {
    "mask": (Image, qos_profile_sensor_data),
    "confidence": (Image, qos_profile_sensor_data),
    "overlay": (Image, RELIABLE),
    "class_masks": (ClassMaskArray, RELIABLE),
    "mask_origin": (MaskOrigin, qos_profile_sensor_data),
}


class CameraPublishers:
    """The publishers of one camera.

    Once the inference thread runs, it alone uses them, and the propagation thread, one at a time
    (`PublishingGate`). Another thread may call
    `prepare_class_topics` and `remove_unused_class_topics`: each topic takes milliseconds.

    Args:
        node: what the publishers belong to.
        namespace: where they live, such as "~".
        enabled: the outputs that exist, of `parameters.OUTPUTS`.
    """

    def __init__(self, node: Node, namespace: str, enabled: list[str]) -> None:
        self._node = node
        self._namespace = namespace
        self._publishers: dict[str, Any] = {
            name: node.create_publisher(kind, f"{namespace}/{name}", qos)
            for name, (kind, qos) in _PUBLISHERS.items()
            if name in enabled
        }
        self._label_info = node.create_publisher(LabelInfo, f"{namespace}/label_info", LATCHED)
        self._with_class_topics = "masks" in enabled
        self._class_publishers: dict[str, Any] = {}  # by topic name, in the order of the classes
        self._prepared: dict[str, Any] = {}  # for classes to come
        self._retired: list[Any] = []  # of classes that are gone
        self._announced: tuple[tuple[SegmentationClass, ...], float] | None = None

    @property
    def announced_classes(self) -> tuple[SegmentationClass, ...]:
        """The classes of the last label info."""
        return self._announced[0] if self._announced else ()

    def have_subscribers(self) -> bool:
        """Whether anybody subscribes to something that a frame would be segmented for."""
        publishers = (*self._publishers.values(), *self._class_publishers.values())
        return any(publisher.get_subscription_count() for publisher in publishers)

    def prepare_class_topics(self, classes: Sequence[SegmentationClass]) -> None:
        """Create the topics of classes that will be announced, while frames go on."""
        if not self._with_class_topics:
            return
        for name in _topics(classes):
            if name not in self._class_publishers and name not in self._prepared:
                with _yielding_to_services():
                    self._prepared[name] = self._create(name)

    def remove_unused_class_topics(self) -> None:
        """Take away the topics that no class has any more."""
        while self._retired:
            with _yielding_to_services():
                self._node.destroy_publisher(self._retired.pop())

    def announced(self, classes: tuple[SegmentationClass, ...]) -> bool:
        """Whether the last LabelInfo is about these classes."""
        return self._announced is not None and self._announced[0] == classes

    def publish_label_info(
        self, classes: tuple[SegmentationClass, ...], threshold: float, stamp: Time
    ) -> None:
        """Publish what the ids of the next masks mean, unless the last LabelInfo says so."""
        if self._announced == (classes, threshold):
            return
        # Only for other classes: those of a change in preparation stay as they are.
        before = self._announced[0] if self._announced else ()
        if self._with_class_topics and before != classes:
            self._set_class_topics(classes)
        self._label_info.publish(label_info_message(classes, threshold, stamp))
        self._announced = (classes, threshold)

    def publish(
        self,
        segmentation: Segmentation,
        image: np.ndarray,
        header: Header,
        settings: Mapping[str, Any],
        size: tuple[int, int] | None = None,
        inferred_stamp: Time | None = None,
        smoothed: bool = False,
    ) -> None:
        """Publish one frame's results, those with a subscriber.

        Args:
            segmentation: of `image`; `publish_label_info` was called with its classes.
            image: (H, W, 3) uint8 RGB.
            header: the image message's; every output carries it unchanged.
            settings: the parameters "overlay_alpha" and "overlay_legend".
            size: height and width of mask and confidence; None for the image's.
            inferred_stamp: of the image that the segmentation was carried from; None if it is
                `image` itself.
            smoothed: whether earlier masks are fused into it.
        """
        make: dict[str, Callable[[], Any]] = {
            "mask": lambda: mask_message(segmentation, header, size),
            "confidence": lambda: confidence_message(segmentation, header, size),
            "class_masks": lambda: class_masks_message(segmentation, header),
            "overlay": lambda: overlay_message(segmentation, image, header, settings),
            "mask_origin": lambda: mask_origin_message(header, inferred_stamp, smoothed),
        }
        pace = _yielding_to_services if segmentation.labels.size > _BIG else contextlib.nullcontext
        for name, publisher in self._publishers.items():
            if publisher.get_subscription_count():
                with pace():
                    publisher.publish(make[name]())
        # There may be more classes than topics.
        topics = zip(segmentation.classes, self._class_publishers.values(), strict=False)
        for entry, publisher in topics:
            if publisher.get_subscription_count():
                with pace():
                    publisher.publish(class_mask_message(segmentation, entry.id, header))

    def destroy(self) -> None:
        """Take the topics away."""
        publishers = [*self._publishers.values(), *self._class_publishers.values()]
        publishers += [*self._prepared.values(), *self._retired, self._label_info]
        for publisher in publishers:
            self._node.destroy_publisher(publisher)
        self._publishers, self._class_publishers = {}, {}
        self._prepared, self._retired = {}, []

    def _set_class_topics(self, classes: Sequence[SegmentationClass]) -> None:
        """Switch to the topics ~/masks/<class>; those of classes that stay keep their subscribers.

        Only the first `MAX_CLASS_TOPICS` classes get one; ~/class_masks has them all.
        """
        old, prepared = self._class_publishers, self._prepared
        self._class_publishers = {
            name: old.pop(name, None) or prepared.pop(name, None) or self._create(name)
            for name in _topics(classes)
        }
        self._retired += old.values()
        self._retired += prepared.values()  # of prompts that others overtook
        prepared.clear()

    def _create(self, topic: str) -> Any:
        """A class's publisher.

        It gets no event callbacks: those would be waited on by the executor, which is not safe
        while another thread creates and destroys it.
        """
        return self._node.create_publisher(
            Image,
            f"{self._namespace}/masks/{topic}",
            RELIABLE,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )


def _topics(classes: Sequence[SegmentationClass]) -> list[str]:
    """The topics below ~/masks of the first classes, in their order."""
    names = class_topic_names([entry.name for entry in classes], [entry.id for entry in classes])
    return names[:MAX_CLASS_TOPICS]


@contextlib.contextmanager
def _yielding_to_services() -> Iterator[None]:
    """Sleep as long as the work took: rclpy holds Python's lock in it, and services need that."""
    start = time.monotonic()
    yield
    time.sleep(time.monotonic() - start)
