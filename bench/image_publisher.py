# SPDX-License-Identifier: Apache-2.0
"""Publishes one 640x480 rgb8 image for each line on its standard input: `-m image_publisher`.

The other end decides when the next one is due, so that images never wait for each other.
"""

from __future__ import annotations

import contextlib
import sys

import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

TOPIC = "/image"
SIZE = (480, 640)  # rows, columns


def main() -> None:
    """Publish until the standard input ends."""
    import numpy as np
    from std_msgs.msg import Header

    from dinoiser_ros.messages.encode import image_message

    rclpy.init()
    node = rclpy.create_node("image_publisher")
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    message = image_message(pixels, "rgb8", Header(frame_id="camera"))
    with contextlib.suppress(KeyboardInterrupt):
        for _ in sys.stdin:
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
