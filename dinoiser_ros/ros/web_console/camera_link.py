# SPDX-License-Identifier: Apache-2.0
"""One camera as the console sees it: its images and the node's masks of them, while watched."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.errors import DinoiserError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.messages.topic_names import is_compressed_topic
from dinoiser_ros.web.frame import Frame

from .descriptions import depth_at, plain_pixels
from .frame_pairs import FramePairs, Group

if TYPE_CHECKING:
    from rclpy.node import Node

_SENSOR = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT
)
_LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_MOST_DEPTHS = 30  # kept for images whose masks are still to come
_NEAR = 100_000_000  # nanoseconds between an image and a depth image of the same moment
_COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
_RAW_TYPE = "sensor_msgs/msg/Image"


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
        self._names: tuple[str, ...] = ()
        self._depths: deque[Image] = deque(maxlen=_MOST_DEPTHS)
        self._images = 0
        self._compressed = self._is_compressed(is_compressed_topic(topic))
        self._image = self._subscribe_image()
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
        for subscription in (self._image, *self._others):
            self._node.destroy_subscription(subscription)

    def follow_type(self) -> None:
        """Subscribe anew if the camera turns out to publish the other type; called now and then."""
        if self._images == 0 and self._is_compressed(self._compressed) != self._compressed:
            self._node.destroy_subscription(self._image)
            self._compressed = not self._compressed
            self._image = self._subscribe_image()

    def _subscribe_image(self) -> Any:
        kind = CompressedImage if self._compressed else Image
        return self._node.create_subscription(kind, self._topic, self._on_image, _SENSOR)

    def _is_compressed(self, default: bool) -> bool:
        infos = self._node.get_publishers_info_by_topic(self._topic)
        types = {info.topic_type for info in infos} & {_COMPRESSED_TYPE, _RAW_TYPE}
        return types == {_COMPRESSED_TYPE} if len(types) == 1 else default

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._images += 1
        size = len(message.data)
        self._give(self._pairs.image(_stamp(message), message, size, time.monotonic()))

    def _on_mask(self, message: Image) -> None:
        coming = self._node.count_publishers(f"{self._outputs}/confidence") > 0
        self._give(self._pairs.mask(_stamp(message), message, time.monotonic(), coming))

    def _on_confidence(self, message: Image) -> None:
        self._give(self._pairs.confidence(_stamp(message), message))

    def _on_depth(self, message: Image) -> None:
        self._depths.append(message)

    def _on_names(self, message: LabelInfo) -> None:
        names = {entry.class_id: entry.class_name for entry in message.class_map}
        self._names = tuple(names.get(i, f"class {i}") for i in range(max(names, default=-1) + 1))

    def _give(self, group: Group | None) -> None:
        if group is None:
            return
        labels = _pixels(group.mask)
        confidence = _pixels(group.confidence)
        self._received(
            Frame(
                self._topic,
                _stamp(group.image) / 1e9,
                lambda: np.ascontiguousarray(rgb_from_message(group.image)),
                labels,
                confidence if confidence is None or confidence.dtype == np.uint8 else None,
                self._names,
                255 if labels is None or labels.dtype == np.uint8 else 65535,
                self._distance(_stamp(group.image)),
            )
        )

    def _distance(self, stamp: int) -> Callable[[float, float], float | None]:
        """How far away things are in an image, by the depth image that is nearest in time."""
        near = min(self._depths, key=lambda depth: abs(_stamp(depth) - stamp), default=None)
        if near is None or abs(_stamp(near) - stamp) > _NEAR:
            return lambda _x, _y: None
        return lambda x, y: depth_at(near, x, y)


def _pixels(message: Any) -> np.ndarray | None:
    """The values of a mask; None for none, and for what is none."""
    try:
        return None if message is None else plain_pixels(message)
    except DinoiserError:
        return None


def _stamp(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
