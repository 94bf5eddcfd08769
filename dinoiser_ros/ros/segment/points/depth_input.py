# SPDX-License-Identifier: Apache-2.0
"""The subscriptions of a camera's depth and camera_info, there only while a cloud is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from dinoiser_ros.ros.topic_subscription import TopicSubscription

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.subscription import Subscription

# A few messages deep: depth is kept, so that one which waits for the executor is not lost.
_QOS = qos_profile_sensor_data
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_LINGER = 5.0  # seconds without a subscriber until the topics are let go
_SETTLING = 2.0  # seconds after subscribing in which missing depth is no surprise


class DepthInput:
    """Subscribes to depth and camera_info while somebody wants clouds.

    Args:
        node: what the subscriptions belong to.
        depth_topic, info_topic: fully qualified.
        on_depth: called with each depth message.

    Attributes:
        depth_topic, info_topic: as given.
        info: the newest camera_info, None before the first.
    """

    def __init__(
        self, node: Node, depth_topic: str, info_topic: str, on_depth: Callable[[Any], None]
    ) -> None:
        self.depth_topic = depth_topic
        self.info_topic = info_topic
        self.info: CameraInfo | None = None
        self._node = node
        compressed = depth_topic.endswith("/compressedDepth")
        self._depth = TopicSubscription(node, depth_topic, compressed, True, _QOS, on_depth)
        self._info: Subscription[CameraInfo] | None = None
        self._latched: Subscription[CameraInfo] | None = None
        self._group = MutuallyExclusiveCallbackGroup()
        self._lock = threading.Lock()
        self._closed = False
        self._wanted_at = self._since = 0.0

    @property
    def settled(self) -> bool:
        """Whether the subscriptions exist for so long that messages should have come."""
        return self._info is not None and time.monotonic() - self._since > _SETTLING

    def follow(self, wanted: bool) -> bool:
        """Subscribe, or after a while unsubscribe; called often, from any thread.

        Returns:
            Whether the subscriptions were taken away just now.
        """
        now = time.monotonic()
        with self._lock:
            if wanted:
                self._wanted_at = now
                if self._info is None and not self._closed:
                    self._subscribe(now)
            elif self._info is not None and now - self._wanted_at > _LINGER:
                self._unsubscribe()
                return True
        return False

    def follow_type(self) -> None:
        """Subscribe anew to depth of the other message type, and to a latched camera_info."""
        self._depth.follow_type()
        with self._lock:
            if self._info is not None and self.info is None and self._latched is None:
                self._follow_latched()

    def close(self) -> None:
        """Receive nothing more, for good."""
        with self._lock:
            self._closed = True
            self._unsubscribe()

    def _subscribe(self, now: float) -> None:
        self._since = now
        self._info = self._subscription(_QOS)
        self._depth.subscribe()

    def _follow_latched(self) -> None:
        """Subscribe once more if a driver published camera_info once, for whoever comes later.

        Asked for what was latched, DDS connects only to those that latch, and warns of the others.
        """
        publishers = self._node.get_publishers_info_by_topic(self.info_topic)
        kinds = {entry.qos_profile.durability for entry in publishers}
        if DurabilityPolicy.TRANSIENT_LOCAL in kinds:
            self._latched = self._subscription(_LATCHED)

    def _subscription(self, qos: QoSProfile) -> Subscription[CameraInfo]:
        return self._node.create_subscription(
            CameraInfo, self.info_topic, self._keep_info, qos, callback_group=self._group
        )

    def _unsubscribe(self) -> None:
        self._depth.unsubscribe()
        for entry in (self._info, self._latched):
            if entry is not None:
                self._node.destroy_subscription(entry)
        self._info = self._latched = None

    def _keep_info(self, message: CameraInfo) -> None:
        self.info = message
