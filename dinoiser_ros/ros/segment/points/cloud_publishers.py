# SPDX-License-Identifier: Apache-2.0
"""The topics of one camera's clouds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import PointCloud2

from dinoiser_ros.ros.segment.publishers import RELIABLE

if TYPE_CHECKING:
    from rclpy.node import Node

    from .class_groups import ClassGroup

POINTS = "points"


class CloudPublishers:
    """Publishers of points, and of the points of each group.

    Args:
        node: what they belong to.
        namespace: where they live, such as "~".
        groups: each has a topic.
    """

    def __init__(self, node: Node, namespace: str, groups: Sequence[ClassGroup]) -> None:
        self._node = node
        self._publishers: dict[str, Any] = {
            topic: node.create_publisher(PointCloud2, f"{namespace}/{topic}", RELIABLE)
            for topic in (POINTS, *(group.topic for group in groups))
        }

    def wanted(self) -> list[str]:
        """The topics that somebody subscribes to: `POINTS` and those of groups."""
        publishers = self._publishers.items()
        return [topic for topic, publisher in publishers if publisher.get_subscription_count()]

    def publish(self, topic: str, cloud: PointCloud2) -> None:
        """Publish a cloud."""
        self._publishers[topic].publish(cloud)

    def destroy(self) -> None:
        """Take the topics away."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_publisher(publisher)
