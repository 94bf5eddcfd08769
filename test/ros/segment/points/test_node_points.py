# SPDX-License-Identifier: Apache-2.0
"""Clouds over real topics: two cameras with depth, raw and compressed, served by one node."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from depth_camera import FOCAL, FakeDepthCamera
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import (
    TIMEOUT,
    Client,
    diagnostic,
    pixels_of,
    running_node,
    stamp_of,
    wait_until,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from dinoiser_ros.geometry.points import POINT
from dinoiser_ros.geometry.surfaces import Surfaces
from dinoiser_ros.msg import MaskOrigin
from dinoiser_ros.srv import SetPrompts

PROMPTS = ["background", "wooden floor", "traffic cone", "person"]
NODE = {
    "prompts": PROMPTS,
    "image_topics": ["/front/image", "/rear/image"],
    "depth_topics": ["/front/depth", "/rear/depth/compressedDepth"],
    "camera_info_topics": ["/front/camera_info", "/rear/camera_info"],
    "obstacle_groups": ["danger: person, spilled coffee", "Road works: traffic cone"],
    "ground_groups": ["floor: wooden floor"],
}
OBSTACLES = ["obstacles/danger", "obstacles/road_works", "ground/floor"]
SECOND = 10**9


@pytest.fixture(scope="module")
def node() -> Iterator[Any]:
    with running_node(NODE) as node:
        yield node


@pytest.fixture(scope="module")
def client(node: Any) -> Client:
    return node[1]


@pytest.fixture(scope="module")
def diagnostics(client: Client) -> list:
    return client.collect(DiagnosticArray, "/diagnostics", 10)


@pytest.fixture(scope="module")
def front(client: Client) -> FakeDepthCamera:
    camera = FakeDepthCamera(client, "/front")
    camera.connect()
    return camera


@pytest.fixture(scope="module")
def masks(client: Client) -> list:
    return client.collect(Image, "/front/dinoiser/mask", qos_profile_sensor_data)


@pytest.fixture
def clouds(client: Client) -> Iterator[Any]:
    """Subscribe to clouds, for the length of one test."""
    lists = []

    def subscribe(topic: str, camera: str = "/front", qos: Any = 10) -> list:
        lists.append(client.collect(PointCloud2, f"{camera}/dinoiser/{topic}", qos))
        return lists[-1]

    yield subscribe
    for messages in lists:
        client.forget(messages)


def count(diagnostics: list, name: str, camera: str = "/front") -> int:
    status = diagnostic(list(diagnostics), f"{camera}/image")
    return int(status[2].get(name, 0)) if status else 0


def points_of(cloud: Any) -> np.ndarray:
    return np.frombuffer(cloud.data, POINT).reshape(cloud.height, cloud.width)


def common(*topics: list) -> int | None:
    """The newest stamp that all topics have brought."""
    stamps = [{stamp_of(message) for message in list(got)} for got in topics]
    return max(set.intersection(*stamps), default=None)


def of(messages: list, stamp: int) -> Any:
    return next(message for message in list(messages) if stamp_of(message) == stamp)


def later(stamp: Time, milliseconds: int) -> Time:
    total = stamp.sec * SECOND + stamp.nanosec + milliseconds * 10**6
    return Time(sec=total // SECOND, nanosec=total % SECOND)


def check(points: np.ndarray, camera: FakeDepthCamera, mask: np.ndarray, step: int) -> None:
    """Organised points are the pinhole camera's, with the mask's classes."""
    depth = np.where(camera.depth, camera.depth / 1000, np.nan)[::step, ::step]
    height, width = camera.depth.shape
    v, u = np.mgrid[0:height:step, 0:width:step]
    np.testing.assert_allclose(points["z"], depth, rtol=1e-5)
    np.testing.assert_allclose(points["x"], (u - width / 2) / FOCAL * depth, atol=1e-5)
    np.testing.assert_allclose(points["y"], (v - height / 2) / FOCAL * depth, atol=1e-5)
    np.testing.assert_array_equal(points["class_id"], mask[::step, ::step])
    red, green, blue = np.moveaxis(camera.pixels[::step, ::step].astype(np.uint32), 2, 0)
    np.testing.assert_array_equal(points["rgb"], red << 16 | green << 8 | blue)


def test_depth_is_not_read_until_somebody_wants_a_cloud(
    front: FakeDepthCamera, masks: list, clouds: Any, diagnostics: list
) -> None:
    stamps = len(front.sent)
    front.publish_until(lambda: common(masks) in front.sent[stamps:], "a mask")
    assert not front.depth_is_read
    assert count(diagnostics, "points_published") == 0
    points = clouds("points")

    def served() -> bool:  # images let the node see that there is a subscriber
        front.publish()
        time.sleep(0.05)
        return bool(points)

    wait_until(served, "a cloud")
    assert front.depth_is_read


def test_organized_points_have_the_masks_pixels(
    client: Client, front: FakeDepthCamera, masks: list, clouds: Any
) -> None:
    assert client.set_parameters(points_organized=True, points_decimation=1) == (True, "")
    points = clouds("points")

    def complete() -> int | None:
        stamp = common(masks, points)
        full = stamp and of(points, stamp).height == front.depth.shape[0]
        return stamp if full else None

    stamp = front.publish_until(complete, "an organised cloud with its mask")
    cloud = of(points, stamp)
    assert stamp in front.sent
    assert cloud.header.frame_id == front.depth_frame
    assert (cloud.height, cloud.width) == front.depth.shape and not cloud.is_dense
    check(points_of(cloud), front, pixels_of(of(masks, stamp)), 1)


def test_dense_points_are_those_with_depth(
    client: Client, front: FakeDepthCamera, masks: list, clouds: Any
) -> None:
    assert client.set_parameters(points_organized=False, points_decimation=3) == (True, "")
    points = clouds("points")

    def complete() -> int | None:
        stamp = common(masks, points)
        return stamp if stamp and of(points, stamp).height == 1 else None

    stamp = front.publish_until(complete, "a dense cloud with its mask")
    cloud = of(points, stamp)
    grid = np.zeros(front.depth[::3, ::3].shape, POINT)
    seen = front.depth[::3, ::3] > 0
    assert cloud.is_dense and cloud.width == seen.sum()
    grid["x"] = grid["y"] = grid["z"] = np.nan
    grid[seen] = points_of(cloud)[0]
    mask = pixels_of(of(masks, stamp))[::3, ::3]
    np.testing.assert_array_equal(grid["class_id"][seen], mask[seen])
    np.testing.assert_allclose(grid["z"][seen], front.depth[::3, ::3][seen] / 1000, rtol=1e-5)


def test_groups_have_the_trusted_points_of_their_classes(
    client: Client, front: FakeDepthCamera, masks: list, clouds: Any
) -> None:
    """All groups, with the quality of service that costmaps ask for; empty ones come as well."""
    assert client.set_parameters(points_decimation=1, border_erosion=1) == (True, "")
    got = {topic: clouds(topic, qos=qos_profile_sensor_data) for topic in OBSTACLES}
    stamp = front.publish_until(lambda: common(masks, *got.values()), "clouds of all groups")
    mask = pixels_of(of(masks, stamp))
    surfaces = Surfaces()
    surfaces.measure(np.where(front.depth, front.depth / 1000, np.nan).astype("f4"), 1, 0.03)
    for topic, name in zip(OBSTACLES, ("person", "traffic cone", "wooden floor"), strict=True):
        expected = np.zeros(mask.shape, bool)
        surfaces.add_trusted(mask, PROMPTS.index(name), expected)
        cloud = of(got[topic], stamp)
        assert cloud.header.frame_id == front.depth_frame and len(cloud.fields) == 6
        found = points_of(cloud)[0]
        assert len(found) == expected.sum()
        np.testing.assert_allclose(found["z"], front.depth[expected] / 1000, rtol=1e-5)
        assert set(found["class_id"]) <= {PROMPTS.index(name)}


def test_a_compressed_camera_has_clouds_of_its_own(client: Client, clouds: Any) -> None:
    """Its driver publishes the calibration once, before anybody asks for it."""
    rear = FakeDepthCamera(client, "/rear", compressed=True, latched=True)
    rear.connect()
    points = clouds("points", "/rear")
    rear.publish_until(lambda: points, "a cloud from compressedDepth")
    assert points[-1].header.frame_id == rear.depth_frame
    seen = rear.depth > 0
    np.testing.assert_allclose(points_of(points[-1])[0]["z"], rear.depth[seen] / 1000, rtol=1e-5)


def test_masks_have_the_size_of_the_depth(
    client: Client, front: FakeDepthCamera, masks: list
) -> None:
    """Which its camera_info says, received without anybody who wants a cloud."""
    assert client.set_parameters(mask_size="depth") == (True, "")

    def has_size(height: int, width: int) -> bool:
        stamp = front.header().stamp
        front.publish_info(stamp, height=24, width=32)
        number = front.publish_image(stamp)
        wait_until_or_lost(lambda: number in {stamp_of(message) for message in list(masks)})
        return (masks[-1].height, masks[-1].width) == (height, width)

    wait_until(lambda: has_size(24, 32), "a mask of the depth's size")
    assert client.set_parameters(mask_size="image") == (True, "")
    wait_until(lambda: has_size(*front.pixels.shape[:2]), "a mask of the image's size")


def test_a_mask_gets_the_nearest_depth_also_if_it_comes_later(
    client: Client, front: FakeDepthCamera, masks: list, clouds: Any
) -> None:
    points = clouds("points")
    front.publish_until(lambda: points, "a cloud: depth is read")
    flat = np.ones_like(front.depth)

    def distances(before: list[int], after: list[int]) -> float:
        """Depth at these milliseconds from the image, its distance in metres 2 plus as many mm."""

        def served() -> bool:
            time.sleep(0.2)  # away from the depth of the image before
            stamp = front.header().stamp
            front.publish_info(stamp)
            for offset in before:
                front.publish_depth(later(stamp, offset), flat * (2000 + offset))
            number = front.publish_image(stamp)
            if not after:
                wait_until_or_lost(lambda: common(points) == number)
            else:
                wait_until_or_lost(lambda: number in {stamp_of(m) for m in list(masks)})
                assert number not in {stamp_of(m) for m in list(points)}
                for offset in after:
                    front.publish_depth(later(stamp, offset), flat * (2000 + offset))
                wait_until_or_lost(lambda: common(points) == number)
            return common(points) == number

        wait_until(served, "a cloud of the newest image")
        return float(points_of(points[-1])[0]["z"][0])

    assert distances([-20, 0, 20], []) == pytest.approx(2.0)
    assert distances([-30, 10], []) == pytest.approx(2.01)
    assert distances([], [3, 30]) == pytest.approx(2.003)
    assert distances([-40], [20]) == pytest.approx(2.02)


def wait_until_or_lost(condition: Any, seconds: float = 2.0) -> None:
    """Best effort may lose a message: who waits for ever would wait for that one."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def test_an_image_without_depth_is_counted_and_has_its_mask(
    front: FakeDepthCamera, masks: list, clouds: Any, diagnostics: list
) -> None:
    points = clouds("points")
    front.publish_until(lambda: points, "a cloud: depth is read")
    before, first = count(diagnostics, "without_depth"), len(front.sent)

    def counted() -> bool:
        stamp = front.header().stamp
        front.publish_info(stamp)
        front.publish_depth(later(stamp, 300))
        front.publish_image(stamp)
        time.sleep(0.05)
        return count(diagnostics, "without_depth") > before

    wait_until(counted, "images without depth in diagnostics")
    assert {stamp_of(mask) for mask in list(masks)} & set(front.sent[first:])
    front.publish_until(lambda: common(points) == front.sent[-1], "a cloud again")


def bad_depth(camera: FakeDepthCamera, stamp: Time, fault: str) -> Any:
    message = camera.depth_message(stamp)
    changes = {
        "depth_encoding": {"encoding": "bgr8"},
        "depth_size": {"data": array("B", bytes(10))},
        "depth_unit": {
            "encoding": "32FC1",
            "step": 4 * message.width,
            "data": array("B", np.full(camera.depth.shape, 1500.0, np.float32).tobytes()),
        },
    }
    for name, value in changes.get(fault, {}).items():
        setattr(message, name, value)
    if fault == "other view":
        message = camera.depth_message(stamp, np.full((60, 30), 1500, np.uint16))
    return message


@pytest.mark.parametrize(
    ("fault", "counter"),
    [
        ("depth_encoding", "bad_depth_encoding"),
        ("depth_size", "bad_depth_size"),
        ("depth_unit", "bad_depth_unit"),
        ("other view", "bad_depth_size"),
        ("camera_info", "bad_camera_info"),
    ],
)
def test_bad_messages_are_counted_and_lose_nothing_else(
    node: Any,
    front: FakeDepthCamera,
    masks: list,
    clouds: Any,
    diagnostics: list,
    fault: str,
    counter: str,
) -> None:
    points = clouds("points")
    front.publish_until(lambda: points, "a cloud: depth is read")
    before, first = count(diagnostics, counter), len(front.sent)

    def counted() -> bool:
        stamp = front.header().stamp
        front.publish_info(stamp, **({"k": [0.0] * 9} if fault == "camera_info" else {}))
        time.sleep(0.02)
        front.publish_raw_depth(bad_depth(front, stamp, fault))
        front.publish_image(stamp)
        time.sleep(0.05)
        return count(diagnostics, counter) > before

    wait_until(counted, f"{counter} in diagnostics")
    assert {stamp_of(mask) for mask in list(masks)} & set(front.sent[first:])
    front.publish_until(lambda: common(points) == front.sent[-1], "a cloud again")
    assert "Traceback" not in node[0].log


def test_a_group_follows_the_prompts(
    node: Any, client: Client, front: FakeDepthCamera, clouds: Any
) -> None:
    assert "no prompt has the class 'spilled coffee' of obstacles/danger" in node[0].log
    danger = clouds("obstacles/danger")
    # Phrases that the model sees something in; the group names the class.
    prompts = ["Spilled Coffee: wooden floor, traffic cone, person", "wall"]
    answer = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)
    assert answer.success
    assert client.set_parameters(border_erosion=0) == (True, "")

    def ids() -> set[int]:
        return {
            int(number) for cloud in list(danger)[-1:] for number in points_of(cloud)[0]["class_id"]
        }

    front.publish_until(lambda: ids() == {answer.class_ids[0]}, "points of a named class")
    assert client.call(SetPrompts, "/dinoiser/set_prompts", prompts=PROMPTS).success


def test_carried_masks_have_clouds_with_the_depth_of_their_own_image(
    client: Client, front: FakeDepthCamera, masks: list, clouds: Any
) -> None:
    changes = {"points_organized": True, "points_decimation": 1, "max_rate": 2.0}
    assert client.set_parameters(rate_mode="propagate", **changes) == (True, "")
    origins = client.collect(MaskOrigin, "/front/dinoiser/mask_origin", qos_profile_sensor_data)
    points, own, depths = clouds("points"), front.depth, {}

    def complete() -> int | None:
        depths[front.sent[-1]] = front.depth
        front.depth = np.roll(front.depth, 1, axis=0)  # another one for each image
        carried = {stamp_of(m) for m in list(origins) if m.origin == MaskOrigin.CARRIED}
        there = carried & {stamp_of(cloud) for cloud in list(points)} & set(depths)
        exact = (
            stamp
            for stamp in there & {stamp_of(mask) for mask in list(masks)}
            if np.array_equal(np.isfinite(points_of(of(points, stamp))["z"]), depths[stamp] > 0)
        )
        return next(exact, None)

    try:
        stamp = front.publish_until(complete, "a cloud of a carried mask")
    finally:
        front.depth = own
        client.forget(origins)
        reset = client.set_parameters(rate_mode="off", max_rate=0.0)
    assert reset == (True, "")
    found, mask = points_of(of(points, stamp)), pixels_of(of(masks, stamp))
    seen = depths[stamp] > 0
    np.testing.assert_allclose(found["z"][seen], depths[stamp][seen] / 1000, rtol=1e-5)
    np.testing.assert_array_equal(found["class_id"], mask)


def test_the_simulated_camera_is_seen_in_three_dimensions(
    client: Client, clouds: Any, masks: list
) -> None:
    """Image, depth and camera_info of sim_camera: points are its depth on its own rays."""
    from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco

    try:
        load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    assert client.set_parameters(points_organized=True, points_decimation=1) == (True, "")
    points = clouds("points")
    depths = client.collect(Image, "/front/depth", qos_profile_sensor_data)
    infos = client.collect(CameraInfo, "/front/camera_info", qos_profile_sensor_data)
    code = "import sys; from dinoiser_ros.ros.tools.sim_camera import main; sys.exit(main())"
    options = ["-r", "__ns:=/front", "-p", "width:=96", "-p", "height:=72", "-p", "rate:=5.0"]
    camera = subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", *options], env=os.environ.copy()
    )
    try:
        stamp = wait_until(lambda: common(points, depths, infos), "a cloud of the simulated camera")
    finally:
        camera.terminate()
        camera.wait(TIMEOUT)
    depth, info, found = of(depths, stamp), of(infos, stamp), points_of(of(points, stamp))
    metres = np.frombuffer(depth.data, np.float32).reshape(72, 96)
    seen = np.isfinite(metres)
    np.testing.assert_array_equal(np.isfinite(found["z"]), seen)
    v, u = np.nonzero(seen)
    z = metres[seen]
    for axis, pixel, centre in (("x", u, info.k[2]), ("y", v, info.k[5])):
        np.testing.assert_allclose(found[axis][seen], (pixel - centre) / info.k[0] * z, atol=1e-4)
    assert of(points, stamp).header == depth.header
