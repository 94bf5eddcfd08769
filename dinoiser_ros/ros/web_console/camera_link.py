# SPDX-License-Identifier: Apache-2.0
"""One camera as the console sees it: its images and the node's masks of them, while watched."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.errors import DinoiserError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.messages.topic_names import is_compressed_topic
from dinoiser_ros.ros.topic_subscription import TopicSubscription
from dinoiser_ros.web.frame import Frame

from .descriptions import depth_at, plain_pixels
from .frame_pairs import FramePairs, Group

if TYPE_CHECKING:
    from rclpy.node import Node

_LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_SENSOR = qos_profile_sensor_data
_MOST_DEPTHS = 30  # kept for images whose masks are still to come
_NEAR = 100_000_000  # nanoseconds between an image and a depth image of the same moment


class CameraLink:
    """Subscribes to a camera and to what the segmentation node makes of it, until `close`.

    All of it runs in the executor's thread.

    Args:
        node: what the subscriptions belong to.
        topic: the camera's, fully qualified.
        outputs: where the node publishes its results, such as "/dinoiser".
        depth_topic: of depth images that lie on the camera's, "" for none.
        received: called with each new frame.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        outputs: str,
        depth_topic: str,
        received: Callable[[Frame], None],
    ) -> None:
        self._node = node
        self._topic = topic
        self._outputs = outputs
        self._received = received
        self._pairs = FramePairs()
        self._names: dict[int, str] = {}  # what each id meant last
        self._depths: deque[Image] = deque(maxlen=_MOST_DEPTHS)
        self._image = TopicSubscription(
            node, topic, is_compressed_topic(topic), True, _SENSOR, self._on_image
        )
        self._image.subscribe()
        self._others = [
            node.create_subscription(Image, f"{outputs}/mask", self._on_mask, _SENSOR),
            node.create_subscription(Image, f"{outputs}/confidence", self._on_confidence, _SENSOR),
            node.create_subscription(LabelInfo, f"{outputs}/label_info", self._on_names, _LATCHED),
        ]
        if depth_topic:
            depth = node.create_subscription(Image, depth_topic, self._on_depth, _SENSOR)
            self._others.append(depth)

    def close(self) -> None:
        """Receive no more."""
        self._image.unsubscribe()
        for subscription in self._others:
            self._node.destroy_subscription(subscription)

    def follow_type(self) -> None:
        """Subscribe anew if the camera turns out to publish the other type; called now and then."""
        self._image.follow_type()

    def _on_image(self, message: Image | CompressedImage) -> None:
        size = len(message.data)
        self._give(self._pairs.image(stamp_of(message), message, size, time.monotonic()))

    def _on_mask(self, message: Image) -> None:
        coming = self._node.count_publishers(f"{self._outputs}/confidence") > 0
        self._give(self._pairs.mask(stamp_of(message), message, time.monotonic(), coming))

    def _on_confidence(self, message: Image) -> None:
        self._give(self._pairs.confidence(stamp_of(message), message))

    def _on_depth(self, message: Image) -> None:
        self._depths.append(message)

    def _on_names(self, message: LabelInfo) -> None:
        # A mask from before a prompt was removed may still come: its names stay known.
        names = {entry.class_id: entry.class_name for entry in message.class_map}
        self._names = {**self._names, **names}

    def _give(self, group: Group | None) -> None:
        if group is None:
            return
        labels = _pixels(group.mask)
        confidence = _pixels(group.confidence)
        self._received(
            Frame(
                self._topic,
                stamp_of(group.image) / 1e9,
                lambda: np.ascontiguousarray(rgb_from_message(group.image)),
                labels,
                confidence if confidence is None or confidence.dtype == np.uint8 else None,
                self._names,
                255 if labels is None or labels.dtype == np.uint8 else 65535,
                self._distance(stamp_of(group.image)),
            )
        )

    def _distance(self, stamp: int) -> Callable[[float, float], float | None]:
        """How far away things are in an image, by the depth image that is nearest in time."""
        near = min(self._depths, key=lambda depth: abs(stamp_of(depth) - stamp), default=None)
        if near is None or abs(stamp_of(near) - stamp) > _NEAR:
            return lambda _x, _y: None
        return lambda x, y: depth_at(near, x, y)


def _pixels(message: Any) -> np.ndarray | None:
    """The values of a mask; None for none, and for what is none."""
    try:
        return None if message is None else plain_pixels(message)
    except DinoiserError:
        return None
