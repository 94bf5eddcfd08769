# SPDX-License-Identifier: Apache-2.0
"""The node of the drive: the robot's sensors and frames out, the clouds of its images in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import LabelInfo

from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.messages.point_cloud import places_of
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.ros.tools.sim_camera import camera_info
from dinoiser_ros.ros.tools.sim_frames import CameraFrame
from dinoiser_ros.ros.watching import reported_failure
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.navigation.costmap import LETHAL, UNKNOWN, RollingCostmap
from dinoiser_ros.sim.navigation.follower import Pose
from dinoiser_ros.sim.navigation.frames import BASE, ODOM, OPTICAL, Transform, odometry
from dinoiser_ros.sim.navigation.robot import MOUNT
from dinoiser_ros.srv import SetPrompts

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_KEEP = 10
_FARTHEST = 10.0  # metres that the depth camera measures


class DriveNode(Node):
    """Publishes what a robot's drivers publish, and keeps the newest clouds.

    Args:
        namespace: of this node and of the segmentation node.
        topics: of the clouds, below the segmentation node's name.
        watched: whether the overlay is received, too.

    Attributes:
        overlay: the newest, (H, W, 3) uint8 RGB; None before the first.
        failure: why the segmentation node cannot work, "" while it can.
        ready: whether the segmentation node knows its classes.
    """

    def __init__(self, namespace: str, topics: Sequence[str], watched: bool) -> None:
        super().__init__("drive", namespace=namespace)
        self.overlay: np.ndarray | None = None
        self.failure = ""
        self.ready = False
        self._segmenting = f"{namespace}/dinoiser".strip("/")  # as diagnostics name it
        self._image = self.create_publisher(Image, "image", _KEEP)
        self._depth = self.create_publisher(Image, "depth", _KEEP)
        self._info = self.create_publisher(CameraInfo, "camera_info", _KEEP)
        self._odometry = self.create_publisher(Odometry, "odom", _KEEP)
        self._frames = self.create_publisher(TFMessage, "/tf", _KEEP)
        self._costmap = self.create_publisher(OccupancyGrid, "~/costmap", _LATCHED)
        self._path = self.create_publisher(Path, "~/path", _LATCHED)
        self._fixed = self.create_publisher(TFMessage, "/tf_static", _LATCHED)
        now = self.get_clock().now().to_msg()
        self._fixed.publish(TFMessage(transforms=[_transform(part, now) for part in MOUNT]))
        self._client: Client[Any, Any] = self.create_client(SetPrompts, "dinoiser/set_prompts")
        self._arrived: dict[int, dict[str, PointCloud2]] = {}
        self._expected = set(topics)
        for topic in topics:
            self.create_subscription(PointCloud2, f"dinoiser/{topic}", self._keeper(topic), _KEEP)
        if watched:
            sensor = qos_profile_sensor_data
            self.create_subscription(Image, "dinoiser/overlay", self._on_overlay, sensor)
        if topics:
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
            self.create_subscription(LabelInfo, "dinoiser/label_info", self._on_labels, _LATCHED)

    def ask_for(self, prompts: Sequence[str]) -> Any:
        """Call ~/set_prompts of the segmentation node; returns the future of its answer."""
        return self._client.call_async(SetPrompts.Request(prompts=list(prompts)))

    def publish_sensors(self, frame: RenderedFrame, pose: Pose, speed: float, turn: float) -> int:
        """Publish a frame and where the robot is; returns their stamp in nanoseconds.

        Args:
            frame: what the camera sees.
            pose: where the robot is.
            speed, turn: how it moves, in m/s and rad/s.
        """
        now = self.get_clock().now()
        stamp = now.to_msg()
        place = _transform(odometry(pose), stamp)
        self._frames.publish(TFMessage(transforms=[place]))
        moving = Odometry(header=place.header, child_frame_id=BASE)
        position, turned = moving.pose.pose.position, place.transform.translation
        position.x, position.y, position.z = turned.x, turned.y, turned.z
        moving.pose.pose.orientation = place.transform.rotation
        moving.twist.twist.linear.x, moving.twist.twist.angular.z = speed, turn
        self._odometry.publish(moving)
        header = Header(stamp=stamp, frame_id=OPTICAL)
        seen = CameraFrame(frame.rgb, frame.labels, frame.depth, frame.fovy)
        self._info.publish(camera_info(seen, header))
        if frame.depth is not None:
            self._depth.publish(image_message(in_millimetres(frame.depth), "16UC1", header))
        self._image.publish(image_message(frame.rgb, "rgb8", header))
        return int(now.nanoseconds)

    def publish_plan(self, costmap: RollingCostmap, path: np.ndarray) -> None:
        """Publish the costmap and the path, (N, 2) metres in odom, for RViz and Foxglove."""
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=ODOM)
        if self._costmap.get_subscription_count():
            self._costmap.publish(_grid(costmap, header))
        if self._path.get_subscription_count():
            self._path.publish(_path(path, header))

    def clouds_of(self, stamps: set[int]) -> dict[str, np.ndarray] | None:
        """The clouds of one of some images, (N, 3) metres in the optical frame.

        Args:
            stamps: in nanoseconds.

        Returns:
            The clouds by topic; None until all of one image have arrived.
        """
        for stamp in list(self._arrived):
            if stamp not in stamps:
                del self._arrived[stamp]
            elif set(self._arrived[stamp]) == self._expected:
                found = self._arrived.pop(stamp)
                return {topic: places_of(cloud) for topic, cloud in found.items()}
        return None

    def _keeper(self, topic: str) -> Callable[[PointCloud2], None]:
        def keep(message: PointCloud2) -> None:
            self._arrived.setdefault(stamp_of(message), {})[topic] = message

        return keep

    def _on_overlay(self, message: Image) -> None:
        self.overlay = rgb_from_message(message)

    def _on_labels(self, message: LabelInfo) -> None:
        self.ready = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.failure = reported_failure(message, self._segmenting) or self.failure


def in_millimetres(depth: np.ndarray) -> np.ndarray:
    """Depth as most cameras publish it: uint16 millimetres, 0 where nothing was measured."""
    measured = np.isfinite(depth) & (depth < _FARTHEST)
    whole: np.ndarray = np.where(measured, np.rint(depth * 1000.0), 0).astype(np.uint16)
    return whole


def _transform(part: Transform, stamp: Any) -> TransformStamped:
    header = Header(stamp=stamp, frame_id=part.parent)
    message = TransformStamped(header=header, child_frame_id=part.child)
    place, turned = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = part.translation
    turned.x, turned.y, turned.z, turned.w = part.rotation
    return message


def _grid(costmap: RollingCostmap, header: Header) -> OccupancyGrid:
    """The costmap as map_server has it: 0 free, 100 lethal, -1 unknown."""
    message = OccupancyGrid(header=header)
    states = costmap.states
    message.info.resolution = costmap.resolution
    message.info.height, message.info.width = states.shape
    corner = costmap.origin * costmap.resolution
    message.info.origin.position.x, message.info.origin.position.y = corner.tolist()
    message.info.origin.orientation.w = 1.0
    cells = np.zeros(states.shape, np.int8)
    cells[states == LETHAL], cells[states == UNKNOWN] = 100, -1
    message.data = cells.ravel().tolist()
    return message


def _path(path: np.ndarray, header: Header) -> Path:
    message = Path(header=header)
    for x, y in path.tolist():
        place = PoseStamped(header=header)
        place.pose.position.x, place.pose.position.y = x, y
        place.pose.orientation.w = 1.0
        message.poses.append(place)
    return message
