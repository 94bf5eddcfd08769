# SPDX-License-Identifier: Apache-2.0
"""A subscription to raw or compressed images that follows the type which is published."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from sensor_msgs.msg import CompressedImage, Image

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile
    from rclpy.subscription import Subscription

_COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
_RAW_TYPE = "sensor_msgs/msg/Image"


class TopicSubscription:
    """Receives sensor_msgs/Image or CompressedImage.

    Args:
        node: what the subscription belongs to.
        topic: fully qualified.
        compressed: whether to expect CompressedImage.
        automatic: whether to look at what is published instead, where only one type is.
        qos: of the subscription.
        on_message: called with each message, in a callback group of its own.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        compressed: bool,
        automatic: bool,
        qos: QoSProfile,
        on_message: Callable[[Any], None],
    ) -> None:
        self._node = node
        self._topic = topic
        self._compressed = compressed
        self._automatic = automatic
        self._qos = qos
        self._on_message = on_message
        self._group = MutuallyExclusiveCallbackGroup()
        # Transitions subscribe and unsubscribe, and so does `follow_type` from a timer.
        self._lock = threading.Lock()
        self._wanted = False
        self._subscription: Subscription[Any] | None = None

    def subscribe(self) -> None:
        """Receive messages from now on."""
        with self._lock:
            self._wanted = True
            if self._subscription is None:
                self._create()

    def unsubscribe(self) -> None:
        """Receive no more messages."""
        with self._lock:
            self._wanted = False
            self._destroy()

    def follow_type(self) -> None:
        """Subscribe anew if the topic turns out to carry the other message type.

        A camera that starts after the node shows its type only then: called every second or so.
        """
        with self._lock:
            if not self._automatic or not self._wanted:
                return
            if self._subscription is None:
                # The middleware refuses a second type until the executor let go of the first one.
                with contextlib.suppress(RuntimeError):
                    self._create()
            elif self._published_type(self._compressed) != self._compressed:
                self._destroy()

    def _create(self) -> None:
        if self._automatic:
            self._compressed = self._published_type(self._compressed)
        self._subscription = self._node.create_subscription(
            CompressedImage if self._compressed else Image,
            self._topic,
            self._on_message,
            self._qos,
            callback_group=self._group,
        )

    def _destroy(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _published_type(self, default: bool) -> bool:
        """Whether the topic is published compressed; `default` if unknown or both."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        types = {info.topic_type for info in publishers} & {_COMPRESSED_TYPE, _RAW_TYPE}
        return types == {_COMPRESSED_TYPE} if len(types) == 1 else default
