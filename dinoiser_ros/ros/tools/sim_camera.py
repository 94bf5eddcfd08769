# SPDX-License-Identifier: Apache-2.0
"""The node `sim_camera`: the camera of a simulated robot, with its ground truth.

Publishes `image` (rgb8), `camera_info`, `depth` (32FC1, metres), `~/ground_truth` (mono8 class ids)
and `~/label_info` (their names). Where nothing can be rendered it shows the shipped frames.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.parameter_declaration import declare
from dinoiser_ros.ros.process_arguments import Program
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.utils.option import START, Option

from .process import NodeError, run_node
from .sim_frames import CameraFrame, CameraOptions, FramesUnavailable, frames_of_camera

_DEFAULT = CameraOptions()
SPECS = (
    Option(
        "rate", _DEFAULT.rate, "Frames per second.", START, unit="Hz", minimum=0.1, maximum=100.0
    ),
    Option(
        "width", _DEFAULT.width, "Width of the images.", START, unit="px", minimum=16, maximum=4096
    ),
    Option(
        "height",
        _DEFAULT.height,
        "Height of the images.",
        START,
        unit="px",
        minimum=16,
        maximum=4096,
    ),
    Option(
        "seed", _DEFAULT.seed, "Seed of the simulated world.", START, minimum=0, maximum=2**31 - 1
    ),
    Option(
        "room_seconds",
        _DEFAULT.room_seconds,
        "Time in one room before the robot enters the next; 0: it stays.",
        START,
        unit="s",
        minimum=0.0,
        maximum=1e6,
    ),
    Option("recorded", _DEFAULT.recorded, "Show the shipped frames, do not render.", START),
    Option("frame_id", "camera", "frame_id of the images.", START),
)
# Messages. The ground truth of a frame is needed when its mask arrives: none may get lost.
_KEEP = 30
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

_PROGRAM = Program(
    "sim_camera",
    "sim_camera",
    "The camera of a simulated robot, with its ground truth, on the topic image.",
    SPECS,
)


class SimCamera(Node):
    """Publishes one frame and its ground truth for each tick of a timer, all with one header."""

    def __init__(self) -> None:
        """Build the world; raises NodeError if there is nothing to show."""
        super().__init__("sim_camera")
        try:
            values = declare(self, SPECS)
            names = (entry.name for entry in fields(CameraOptions))
            options = CameraOptions(**{name: values[name] for name in names})
            self._frames, note = frames_of_camera(options)
        except (ParameterError, FramesUnavailable) as error:
            self.destroy_node()
            raise NodeError(str(error)) from error
        self._frame_id = values["frame_id"]
        self._image = self.create_publisher(Image, "image", _KEEP)
        self._camera_info = self.create_publisher(CameraInfo, "camera_info", _KEEP)
        self._depth = self.create_publisher(Image, "depth", _KEEP)
        self._ground_truth = self.create_publisher(Image, "~/ground_truth", _KEEP)
        self._label_info = self.create_publisher(LabelInfo, "~/label_info", _LATCHED)
        self._label_info.publish(self._labels())
        self.create_timer(1.0 / values["rate"], self._tick)
        if note:
            self.get_logger().warning(note)
        self.get_logger().info(f"{self._image.topic_name} at {values['rate']:g} Hz")

    def _tick(self) -> None:
        frame = next(self._frames)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._frame_id)
        # The ground truth first: whoever receives the image finds it there.
        self._ground_truth.publish(image_message(frame.labels, "mono8", header))
        if frame.fovy is not None:
            self._camera_info.publish(camera_info(frame, header))
        if frame.depth is not None and self._depth.get_subscription_count():
            self._depth.publish(image_message(frame.depth, "32FC1", header))
        self._image.publish(image_message(frame.rgb, "rgb8", header))

    def _labels(self) -> LabelInfo:
        message = LabelInfo(threshold=0.0)
        message.header.stamp = self.get_clock().now().to_msg()
        message.class_map = [
            VisionClass(class_id=number, class_name=name) for number, name in enumerate(CLASSES)
        ]
        return message


def camera_info(frame: CameraFrame, header: Header) -> CameraInfo:
    """The pinhole camera of a frame: square pixels, no distortion, centre in the middle.

    The centre of the first pixel is (0, 0), so the middle is half a pixel before half the size.
    """
    height, width = frame.labels.shape
    focal = frame.focal_length
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    message = CameraInfo(header=header, height=height, width=width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = [focal, 0.0, centre_x, 0.0, focal, centre_y, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, centre_x, 0.0, 0.0, focal, centre_y, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; returns the exit status."""
    return run_node(_PROGRAM, SimCamera, arguments)


if __name__ == "__main__":
    sys.exit(main())
