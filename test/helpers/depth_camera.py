# SPDX-License-Identifier: Apache-2.0
"""A camera of a test's own with depth and calibration."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import cv2
import numpy as np
from ros_helpers import Client, FakeCamera, wait_until

FOCAL = 60.0


class FakeDepthCamera(FakeCamera):
    """Publishes images with depth and camera_info, each with a stamp that the test may choose.

    Args:
        client: whose node publishes.
        namespace: of its topics image, depth and camera_info.
        compressed: whether depth is compressedDepth.
        latched: whether camera_info is published only once, now, for whoever comes later.
    """

    def __init__(
        self, client: Client, namespace: str, compressed: bool = False, latched: bool = False
    ) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image

        super().__init__(client, f"{namespace}/image")
        self.compressed = compressed
        name = "depth/compressedDepth" if compressed else "depth"
        kind = CompressedImage if compressed else Image
        create = client.node.create_publisher
        self._depths = create(kind, f"{namespace}/{name}", qos_profile_sensor_data)
        kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        profile = kept if latched else qos_profile_sensor_data
        self._infos = create(CameraInfo, f"{namespace}/camera_info", profile)
        rng = np.random.default_rng(1)
        self.depth = rng.integers(500, 4000, self.pixels.shape[:2]).astype(np.uint16)
        self.depth[rng.random(self.depth.shape) < 0.1] = 0
        self.depth_frame = f"{self.frame_id}_depth"
        self.latched = False
        if latched:
            self.publish_info(self.header().stamp)
            self.latched = True

    def connect_depth(self) -> None:
        """Wait until the node subscribes, which it does when somebody wants a cloud."""
        wait_until(self._depths.get_subscription_count, "a subscription of the depth")
        wait_until(self._infos.get_subscription_count, "a subscription of the camera_info")

    @property
    def depth_is_read(self) -> bool:
        """Whether the node subscribes to the depth."""
        return self._depths.get_subscription_count() > 0

    def depth_message(self, stamp: Any, millimetres: np.ndarray | None = None) -> Any:
        """A depth message of 16UC1, raw or compressed."""
        from sensor_msgs.msg import CompressedImage

        from dinoiser_ros.messages.encode import image_message

        header = self.header()
        header.stamp, header.frame_id = stamp, self.depth_frame
        pixels = self.depth if millimetres is None else millimetres
        if not self.compressed:
            return image_message(pixels, "16UC1", header)
        png = struct.pack("<iff", 0, 0.0, 0.0) + cv2.imencode(".png", pixels)[1].tobytes()
        return CompressedImage(
            header=header, format="16UC1; compressedDepth png", data=array("B", png)
        )

    def publish_depth(self, stamp: Any, millimetres: np.ndarray | None = None) -> None:
        """Publish a depth message of a stamp."""
        self._depths.publish(self.depth_message(stamp, millimetres))

    def publish_raw_depth(self, message: Any) -> None:
        """Publish any message as depth."""
        self._depths.publish(message)

    def publish_info(self, stamp: Any, **changes: Any) -> None:
        """Publish the camera_info of a pinhole camera, with some fields changed."""
        from sensor_msgs.msg import CameraInfo

        height, width = self.pixels.shape[:2]
        info = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
        info.header.stamp = stamp
        info.k = [FOCAL, 0.0, width / 2, 0.0, FOCAL, height / 2, 0.0, 0.0, 1.0]
        for name, value in changes.items():
            setattr(info, name, value)
        if not self.latched:
            self._infos.publish(info)

    def publish(self, message: Any = None) -> int:
        """Publish an image with its depth and camera_info, all of one stamp."""
        from dinoiser_ros.messages.encode import image_message

        if message is None:
            message = image_message(self.pixels, "rgb8", self.header())
        self.publish_info(message.header.stamp)
        self.publish_depth(message.header.stamp)
        return super().publish(message)

    def publish_image(self, stamp: Any) -> int:
        """Publish an image of a stamp, alone."""
        from dinoiser_ros.messages.encode import image_message

        header = self.header()
        header.stamp = stamp
        return super().publish(image_message(self.pixels, "rgb8", header))
