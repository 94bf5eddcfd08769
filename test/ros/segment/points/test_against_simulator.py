# SPDX-License-Identifier: Apache-2.0
"""Clouds against the simulator's truth: where points are, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from points.accuracy import phantoms
from points.masks import dilated, in_patches
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from dinoiser_ros.geometry.points import POINT
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.class_groups import class_groups
from dinoiser_ros.ros.segment.points.cloud_maker import CloudMaker, SegmentedFrame
from dinoiser_ros.ros.segment.points.depth_view import DepthView
from dinoiser_ros.ros.tools.sim_camera import camera_info
from dinoiser_ros.ros.tools.sim_frames import CameraFrame
from dinoiser_ros.segmentation.result import Segmentation
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.sim.classes import OBJECT_IDS
from dinoiser_ros.sim.drive import SimulatedRobot
from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco

WIDTH, HEIGHT, FOVY = 160, 120, 50.0
FLOOR, BOX = 0, 1
# A floor at 0, a box of one metre around (0.2, 3.5, 0.5), and a tilted camera.
WORLD = f"""<mujoco><visual><global offwidth="{WIDTH}" offheight="{HEIGHT}"/>
<map znear="0.01" zfar="60"/></visual><worldbody>
<geom type="plane" size="30 30 1"/><geom type="box" pos="0.2 3.5 0.5" size="0.5 0.5 0.5"/>
<camera name="robot" pos="0.1 0 0.8" xyaxes="0.98 0.199 0 -0.035 0.17 0.985" fovy="{FOVY}"/>
</worldbody></mujoco>"""
PROMPTS = ["floor", "box"]
GROUPS = {"obstacle_groups": ["things: box"], "ground_groups": ["floor: floor"]}
SETTINGS = {name: BY_NAME[name].default for name in BY_NAME}


@pytest.fixture(scope="module")
def mujoco() -> Any:
    try:
        return load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def world(mujoco: Any) -> Iterator[tuple[CameraFrame, np.ndarray, np.ndarray]]:
    """A frame, and the rotation and position of its camera."""
    model = mujoco.MjModel.from_xml_string(WORLD)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        renderer.update_scene(data, "robot")
        renderer.enable_segmentation_rendering()
        geoms = renderer.render()[..., 0].copy()
        renderer.disable_segmentation_rendering()
        renderer.enable_depth_rendering()
        depth = renderer.render().astype(np.float32)
    depth[(geoms < 0) | (depth > 12)] = np.inf
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame = CameraFrame(rgb, np.where(geoms < 0, 255, geoms).astype(np.uint8), depth, FOVY)
    # MuJoCo's cameras look along -z with y up.
    rotation = data.cam_xmat[0].reshape(3, 3) @ np.diag([1.0, -1.0, -1.0])
    yield frame, rotation, data.cam_xpos[0].copy()


def clouds_of(
    frame: CameraFrame, depth: Any, info: CameraInfo, topics: list[str], **changes: Any
) -> dict[str, np.ndarray]:
    classes = parse_prompts(PROMPTS)[1]
    confidence = np.ones(frame.labels.shape, np.float32)
    segmented = SegmentedFrame(
        Segmentation(frame.labels, confidence, classes, 255), frame.rgb, Header()
    )
    maker = CloudMaker(DepthView("/depth"), class_groups(GROUPS))
    clouds = maker.clouds(segmented, depth, info, topics, SETTINGS | changes)
    return {topic: np.frombuffer(cloud.data, POINT) for topic, cloud in clouds}


def above_surface(points: np.ndarray, rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(n,) metres between each point and the surface of its class."""
    optical = np.stack([points[axis] for axis in "xyz"], axis=1).astype(np.float64)
    x, y, z = (optical @ rotation.T + position).T
    to_box = np.stack([abs(x - 0.2), abs(y - 3.5), abs(z - 0.5)]) - 0.5
    outside = np.linalg.norm(to_box.clip(0), axis=0)
    box = np.where(outside > 0, outside, abs(to_box.max(axis=0)))
    return np.where(points["class_id"] == FLOOR, abs(z), box)


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
@pytest.mark.parametrize("step", [1, 2])
def test_points_lie_within_a_millimetre_of_their_surface(
    world: tuple[CameraFrame, np.ndarray, np.ndarray], encoding: str, step: int
) -> None:
    frame, rotation, position = world
    depth, quantisation = frame.depth, 0.0
    if encoding == "16UC1":
        depth = np.where(np.isfinite(depth), np.rint(depth * 1000), 0).astype(np.uint16)
        quantisation = 0.5e-3
    info = camera_info(frame, Header())
    found = clouds_of(
        frame,
        image_message(depth, encoding, Header(frame_id="optical")),
        info,
        ["points", "obstacles/things", "ground/floor"],
        points_decimation=step,
    )
    for topic, number in (("points", 1000), ("obstacles/things", 200), ("ground/floor", 500)):
        points = found[topic]
        assert len(points) > number
        # Along the ray: half a step of depth, and as much sideways as the ray is off the axis.
        slant = np.sqrt(points["x"] ** 2 + points["y"] ** 2 + points["z"] ** 2) / points["z"]
        errors = above_surface(points, rotation, position)
        assert (errors <= 1e-3 + quantisation * slant).all(), errors.max()
    assert set(found["obstacles/things"]["class_id"]) == {BOX}


def test_depth_of_half_the_resolution_is_scaled_by_its_camera_info(
    world: tuple[CameraFrame, np.ndarray, np.ndarray],
) -> None:
    """Depth at every second pixel is that of a camera whose pixels' centres are half a pixel off:
    its own camera_info is exact, and the image's shifts each point by at most that."""
    frame, rotation, position = world
    small = CameraFrame(frame.rgb, frame.labels, frame.depth[::2, ::2])
    depth = image_message(np.ascontiguousarray(small.depth), "32FC1", Header())
    info = camera_info(frame, Header())
    exact = CameraInfo(width=WIDTH // 2, height=HEIGHT // 2, k=info.k)
    exact.k[0], exact.k[4], exact.k[2], exact.k[5] = (info.k[i] / 2 for i in (0, 4, 2, 5))
    points = clouds_of(small, depth, exact, ["points"], points_decimation=1)["points"]
    box = points[points["class_id"] == BOX]
    # Labels are read half a pixel aside, which matters at the edges of the box only.
    assert np.mean(above_surface(box, rotation, position) < 1e-3) > 0.95
    scaled = clouds_of(small, depth, info, ["points"], points_decimation=1)["points"]
    moved = np.hypot(scaled["x"] - points["x"], scaled["y"] - points["y"])
    assert (moved <= points["z"] / exact.k[0] * 0.36).all()


@pytest.mark.parametrize("kind", ["dilated", "in patches"])
def test_marked_points_are_on_their_objects(mujoco: Any, kind: str) -> None:
    """Less than 0.5 % are farther than 5 cm from the true object, and most of it is marked."""
    frames = []
    for seed in (7100, 7103):
        with SimulatedRobot(seed, 320, 240, rate=0.5) as robot:
            frames += [frame for _, frame in zip(range(2), robot.frames(), strict=False)]

    def masks(frame: Any) -> np.ndarray:
        if kind == "dilated":
            return dilated(frame.labels, OBJECT_IDS, 3)
        return in_patches(frame.labels, 8)

    radius, edge = SETTINGS["border_erosion"], SETTINGS["depth_edge"]
    as_they_are = phantoms(frames, masks, 0, edge)
    found = phantoms(frames, masks, radius, edge)
    assert as_they_are.false / as_they_are.points > 0.01, "the masks do reach over"
    assert found.points > 1000
    assert found.false / found.points < 0.005
    assert found.kept / found.true > 0.75
