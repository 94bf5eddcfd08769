# SPDX-License-Identifier: Apache-2.0
"""A camera and a segmentation node without inference, for `web_page`: images, masks, diagnostics.

Publishes 640x480 images of the simulated world with their masks and confidences, as `dinoiser`
does, at the rate in its first argument, until it is ended.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from PIL import Image as Picture
from rclpy.executors import ExternalShutdownException
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from dinoiser_ros.messages.encode import image_message

DATA = Path(__file__).resolve().parent.parent / "data" / "heldout"
SIZE = (640, 480)  # columns, rows


def main() -> None:
    """Publish until the process is ended."""
    rclpy.init()
    node = rclpy.create_node("dinoiser")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    image = node.create_publisher(Image, "/image", qos_profile_sensor_data)
    mask = node.create_publisher(Image, "/dinoiser/mask", qos_profile_sensor_data)
    confidence = node.create_publisher(Image, "/dinoiser/confidence", qos_profile_sensor_data)
    names = node.create_publisher(LabelInfo, "/dinoiser/label_info", latched)
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    names.publish(
        LabelInfo(class_map=[VisionClass(class_id=i, class_name=f"class {i}") for i in range(20)])
    )
    frames = []
    for number in range(8):
        with Picture.open(DATA / f"{number:04}.jpg") as picture:
            pixels = np.array(picture.convert("RGB").resize(SIZE))
        with Picture.open(DATA / f"{number:04}.png") as picture:
            labels = np.array(picture.resize(SIZE, Picture.Resampling.NEAREST))
        shade = np.linspace(120, 255, SIZE[0]).astype(np.uint8)
        frames.append((pixels, labels, np.broadcast_to(shade, SIZE[::-1])))
    messages = [
        [
            image_message(pixels, kind)
            for pixels, kind in zip(frame, ("rgb8", "mono8", "mono8"), strict=True)
        ]
        for frame in frames
    ]
    sent = [0]

    def publish() -> None:
        header = Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")
        for publisher, message in zip(
            (image, mask, confidence), messages[sent[0] % len(messages)], strict=True
        ):
            message.header = header
            publisher.publish(message)
        sent[0] += 1

    def tell() -> None:
        status = [
            DiagnosticStatus(name=f"dinoiser: {part}", hardware_id="dinoiser", message="active")
            for part in ("node", "/image")
        ]
        diagnostics.publish(DiagnosticArray(status=status))

    node.create_timer(1.0 / float(sys.argv[1]), publish)
    node.create_timer(1.0, tell)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == "__main__":
    main()
