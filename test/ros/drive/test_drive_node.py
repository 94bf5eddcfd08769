# SPDX-License-Identifier: Apache-2.0
"""The drive's own node: what a robot's drivers publish, and what RViz and Foxglove show of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
import yaml
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from paths import ROOT
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_helpers import isolate_ros
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from dinoiser_ros.geometry.points import PointGrid
from dinoiser_ros.messages.camera_info import camera_from_message
from dinoiser_ros.messages.point_cloud import dense_cloud
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.ros.drive.node import DriveNode
from dinoiser_ros.ros.drive.prompts import FREE, OBSTACLES
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.navigation.costmap import RollingCostmap
from dinoiser_ros.sim.navigation.follower import Pose
from dinoiser_ros.sim.navigation.frames import Transform, in_odom

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CONFIG = ROOT / "config"
POSE = Pose(1.0, -2.0, 0.7)
FRAME = RenderedFrame(
    np.zeros((6, 8, 3), np.uint8),
    np.zeros((6, 8), np.uint8),
    np.full((6, 8), 1.5, np.float32),
    np.zeros((6, 8), np.uint8),
    [],
    58.0,
)
TOPICS = {
    "/here/odom": Odometry,
    "/tf": TFMessage,
    "/here/depth": Image,
    "/here/image": Image,
    "/here/camera_info": CameraInfo,
}
KEPT = {"/tf_static": TFMessage, "/here/drive/costmap": OccupancyGrid, "/here/drive/path": Path}


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[DriveNode, Node, dict[str, Any]]]:
    """The drive's node, another one, and what that has received."""
    isolate_ros()
    rclpy.init(args=[])
    node, other = DriveNode("/here", (*OBSTACLES, *FREE), watched=False), Node("other")
    received: dict[str, Any] = {}
    for topic, kind in {**TOPICS, **KEPT}.items():
        profile = LATCHED if topic in KEPT else 10
        other.create_subscription(kind, topic, _keep(received, topic), profile)
    try:
        yield node, other, received
    finally:
        node.destroy_node()
        other.destroy_node()
        rclpy.try_shutdown()


def _keep(received: dict[str, Any], topic: str) -> Any:
    return lambda message: received.update({topic: message})


def spin(nodes: tuple[Node, ...], condition: Any) -> None:
    end = time.monotonic() + 20.0
    while not condition() and time.monotonic() < end:
        for node in nodes:
            rclpy.spin_once(node, timeout_sec=0.02)
    assert condition()


def as_transform(message: TransformStamped) -> Transform:
    place, turned = message.transform.translation, message.transform.rotation
    return Transform(
        message.header.frame_id,
        message.child_frame_id,
        (place.x, place.y, place.z),
        (turned.x, turned.y, turned.z, turned.w),
    )


def test_frames_odometry_and_sensors_have_one_stamp(nodes: Any) -> None:
    node, other, received = nodes
    spin((other,), lambda: other.count_publishers("/here/image") and "/tf_static" in received)
    spin((other,), lambda: node.count_subscribers("/here/odom"))
    stamp = node.publish_sensors(FRAME, POSE, 0.5, 0.1)
    spin((other,), lambda: set(TOPICS) <= set(received))
    for topic in set(TOPICS) - {"/tf"}:
        assert stamp_of(received[topic]) == stamp, topic
    moving = received["/here/odom"]
    assert (moving.header.frame_id, moving.child_frame_id) == ("odom", "base_link")
    assert (moving.pose.pose.position.x, moving.pose.pose.position.y) == (POSE.x, POSE.y)
    assert (moving.twist.twist.linear.x, moving.twist.twist.angular.z) == (0.5, 0.1)
    depth = received["/here/depth"]
    assert (depth.encoding, depth.header.frame_id) == ("16UC1", "camera_optical_frame")
    assert set(np.frombuffer(depth.data, np.uint16)) == {1500}
    assert camera_from_message(received["/here/camera_info"], False).height == 6
    # The frames lead from the optical one to odom as the costmap has it.
    chain = received["/tf"].transforms + received["/tf_static"].transforms
    transforms = {part.child_frame_id: as_transform(part) for part in chain}
    matrix, name = np.eye(4), "camera_optical_frame"
    while name != "odom":
        matrix, name = transforms[name].matrix() @ matrix, transforms[name].parent
    point = np.array([[0.3, 0.2, 2.0]])
    expected = in_odom(point, POSE, (transforms["camera_link"], transforms["camera_optical_frame"]))
    np.testing.assert_allclose(point @ matrix[:3, :3].T + matrix[:3, 3], expected, atol=1e-12)


def test_costmap_and_path_are_published_for_viewers(nodes: Any) -> None:
    node, other, received = nodes
    grid = RollingCostmap(2.0, 0.1)
    grid.move_to(3.0, 1.0)
    grid.free_disc(3.0, 1.0, 0.35)
    grid.mark(np.array([[3.55, 1.25, 0.5]]))
    spin((other,), lambda: node.count_subscribers("/here/drive/costmap"))
    node.publish_plan(grid, np.array([[3.0, 1.0], [3.1, 1.2]]))
    spin((other,), lambda: {"/here/drive/costmap", "/here/drive/path"} <= set(received))
    message = received["/here/drive/costmap"]
    cells = np.array(message.data, np.int8).reshape(message.info.height, message.info.width)
    corner, size = message.info.origin.position, message.info.resolution
    row, column = (int((1.25 - corner.y) / size), int((3.55 - corner.x) / size))
    assert cells[row, column] == 100 and (cells == 100).sum() == 1
    assert cells[int((1.05 - corner.y) / size), int((3.05 - corner.x) / size)] == 0
    assert cells[0, 0] == -1
    path = received["/here/drive/path"]
    assert path.header.frame_id == message.header.frame_id == "odom"
    assert [pose.pose.position.y for pose in path.poses] == [1.0, 1.2]


def test_clouds_are_taken_when_all_of_one_image_are_there(nodes: Any) -> None:
    node, other, _ = nodes
    publishers = {
        topic: other.create_publisher(PointCloud2, f"/here/dinoiser/{topic}", 10)
        for topic in (*OBSTACLES, *FREE)
    }
    points = PointGrid()
    points.project(
        *(np.full((1, 1), 2.0, np.float32), np.full((2, 1, 1), 0.5, np.float32)),
        np.zeros((1, 1), np.uint8),
        np.ones((1, 1), np.float32),
        np.zeros((1, 1), np.uint32),
    )
    spin((node,), lambda: all(entry.get_subscription_count() for entry in publishers.values()))

    def publish(topic: str, second: int) -> None:
        header = Header()
        header.stamp.sec = second
        publishers[topic].publish(dense_cloud(points, np.ones((1, 1), bool), header))

    first, *others = publishers
    publish(first, 7)
    publish(first, 8)
    for topic in others:
        publish(topic, 8)
    spin((node,), lambda: len(node._arrived.get(8 * 10**9, {})) == len(publishers))
    assert node.clouds_of({7 * 10**9}) is None
    publish(first, 9)
    for topic in others:
        publish(topic, 9)
    spin((node,), lambda: len(node._arrived.get(9 * 10**9, {})) == len(publishers))
    clouds = node.clouds_of({9 * 10**9})
    assert set(clouds) == set(publishers)
    assert clouds[first].tolist() == [[1.0, 1.0, 2.0]]


def test_viewers_show_what_is_published(nodes: Any) -> None:
    node, _, _ = nodes
    published = {entry.topic_name for entry in node.publishers}
    segmenting = {f"/here/dinoiser/{topic}" for topic in ("overlay", *OBSTACLES, *FREE)}
    known = {name.replace("/here", "/dinoiser_drive") for name in published | segmenting}
    rviz = yaml.safe_load((CONFIG / "drive.rviz").read_text(encoding="utf-8"))
    displays = rviz["Visualization Manager"]["Displays"]
    shown = {entry["Topic"]["Value"] for entry in displays if "Topic" in entry}
    layout = json.loads((CONFIG / "drive_foxglove.json").read_text(encoding="utf-8"))
    panels = layout["configById"]
    assert set(re.findall(r"\w+!\w+", json.dumps(layout["layout"]))) == set(panels)
    drawn = {*panels["3D!map"]["topics"], panels["Image!overlay"]["imageMode"]["imageTopic"]}
    assert shown == drawn
    assert {"/dinoiser_drive/drive/costmap", "/dinoiser_drive/drive/path"} <= shown <= known
