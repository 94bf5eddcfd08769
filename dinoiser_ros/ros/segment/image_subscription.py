# SPDX-License-Identifier: Apache-2.0
"""The subscription of one camera, raw or compressed, and what belongs to that camera."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from dinoiser_ros.messages.topic_names import is_compressed_topic

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

    from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics

    from .publishers import CameraPublishers

# Sensor data, but one message deep: an older one would only be dropped here.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
_COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
_RAW_TYPE = "sensor_msgs/msg/Image"


class ImageSubscription:
    """Receives a camera's messages; keeps what belongs to the camera: publishers, statistics.

    Args:
        node: what the subscription belongs to.
        topic: fully qualified.
        input_type: "raw", "compressed" or "auto", as the parameter.
        publishers: of its results.
        statistics: what is counted of it.
        on_message: called with this object and each message, in a callback group of its own.

    Attributes:
        topic, publishers, statistics: as given.
        last_stamp: nanoseconds of the newest message's stamp, 0 for none.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        input_type: str,
        publishers: CameraPublishers,
        statistics: CameraStatistics,
        on_message: Callable[[ImageSubscription, Any], None],
    ) -> None:
        self.topic = topic
        self.publishers = publishers
        self.statistics = statistics
        self.last_stamp = 0
        self._node = node
        # Transitions subscribe and unsubscribe, and so does `follow_type` from a timer.
        self._lock = threading.Lock()
        self._closed = False
        self._automatic = input_type == "auto"
        self._on_message = on_message
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscription: Subscription[Any] | None = None
        self._compressed = input_type == "compressed" or (
            self._automatic and is_compressed_topic(topic)
        )

    def check_stamp(self, message: Image | CompressedImage) -> str | None:
        """What is wrong with the stamp of the newest message, in one sentence; None if nothing."""
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        before, self.last_stamp = self.last_stamp, stamp
        if stamp != 0 and stamp >= before:
            return None
        fault = "is zero" if stamp == 0 else "is older than the one before"
        return (
            f"{self.topic}: the image's stamp {fault}; the mask carries it on, but nothing can be "
            "synchronised with it: check the camera driver's clock"
        )

    def subscribe(self) -> None:
        """Receive messages from now on."""
        with self._lock:
            self._create()

    def _create(self) -> None:
        if self._automatic:
            self._compressed = self._published_type(self._compressed)
        self._subscription = self._node.create_subscription(
            CompressedImage if self._compressed else Image,
            self.topic,
            lambda message: self._on_message(self, message),
            NEWEST,
            callback_group=self._group,
        )

    def unsubscribe(self) -> None:
        """Receive no more messages, for good."""
        with self._lock:
            self._closed = True
            self._destroy()

    def _destroy(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def follow_type(self) -> None:
        """Subscribe anew if the topic turns out to carry the other message type.

        A camera that starts after the node shows its type only then: called every second or so.
        """
        with self._lock:
            if not self._automatic or self._closed:
                return
            if self._subscription is None:
                # The middleware refuses a second type until the executor let go of the first one.
                with contextlib.suppress(RuntimeError):
                    self._create()
            elif self._published_type(self._compressed) != self._compressed:
                self._destroy()

    def _published_type(self, default: bool) -> bool:
        """Whether the topic is published compressed; `default` if unknown or both."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        types = {info.topic_type for info in publishers} & {_COMPRESSED_TYPE, _RAW_TYPE}
        return types == {_COMPRESSED_TYPE} if len(types) == 1 else default
