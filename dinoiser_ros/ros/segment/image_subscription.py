# SPDX-License-Identifier: Apache-2.0
"""The subscription of one camera, raw or compressed, and what belongs to that camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.messages.topic_names import is_compressed_topic
from dinoiser_ros.ros.segment.teaching.recent_images import RecentImages
from dinoiser_ros.ros.topic_subscription import TopicSubscription

from .parameters import DEPTH_SIZE, mask_size

if TYPE_CHECKING:
    from rclpy.node import Node
    from sensor_msgs.msg import CompressedImage, Image

    from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
    from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
    from dinoiser_ros.ros.segment.points.camera_points import CameraPoints
    from dinoiser_ros.ros.segment.points.depth_buffer import DepthMatch

    from .publishers import CameraPublishers

# Sensor data, but one message deep: an older one would only be dropped here.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)


class ImageSubscription:
    """Receives a camera's messages; keeps what belongs to the camera: publishers, statistics.

    Args:
        node: what the subscription belongs to.
        topic: fully qualified.
        input_type: "raw", "compressed" or "auto", as the parameter.
        publishers: of its results.
        statistics: what is counted of it.
        on_message: called with this object and each message, in a callback group of its own.
        points: what makes its clouds, if it has depth.
        objects: what finds its objects.

    Attributes:
        topic, publishers, statistics, points, objects: as given.
        recent: its latest messages.
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
        points: CameraPoints | None = None,
        objects: CameraObjects | None = None,
    ) -> None:
        self.topic = topic
        self.publishers = publishers
        self.statistics = statistics
        self.points = points
        self.objects = objects
        self.recent = RecentImages()
        self.last_stamp = 0
        automatic = input_type == "auto"
        self._subscription = TopicSubscription(
            node,
            topic,
            input_type == "compressed" or (automatic and is_compressed_topic(topic)),
            automatic,
            NEWEST,
            lambda message: on_message(self, message),
        )

    def check_stamp(self, message: Image | CompressedImage) -> str | None:
        """What is wrong with the stamp of the newest message, in one sentence; None if nothing."""
        stamp = stamp_of(message)
        before, self.last_stamp = self.last_stamp, stamp
        if stamp != 0 and stamp >= before:
            return None
        fault = "is zero" if stamp == 0 else "is older than the one before"
        return (
            f"{self.topic}: the image's stamp {fault}; the mask carries it on, but nothing can be "
            "synchronised with it: check the camera driver's clock"
        )

    def expect_depth(self, message: Image | CompressedImage) -> DepthMatch | None:
        """Look for the depth of an image; None for a camera without.

        Whoever goes on with the image keeps it: the depth is held as long as it is.
        """
        if self.points is None:
            return None
        return self.points.expect(stamp_of(message))

    def mask_size(self, settings: Mapping[str, Any]) -> tuple[int, int] | None:
        """Height and width of the camera's masks; None for the image's.

        Args:
            settings: the parameter "mask_size".
        """
        value = settings["mask_size"]
        of_depth = None if self.points is None else self.points.size_of_depth(value == DEPTH_SIZE)
        return mask_size(value, of_depth)

    def subscribe(self) -> None:
        """Receive messages from now on."""
        self._subscription.subscribe()

    def unsubscribe(self) -> None:
        """Receive no more messages."""
        self._subscription.unsubscribe()

    def follow_type(self) -> None:
        """Subscribe anew if the topic turns out to carry the other message type."""
        self._subscription.follow_type()

    def have_subscribers(self) -> bool:
        """Whether anybody subscribes to something that a frame would be segmented for."""
        makers = (self.publishers, self.points, self.objects)
        return any(maker is not None and maker.have_subscribers() for maker in makers)
