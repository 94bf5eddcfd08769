# SPDX-License-Identifier: Apache-2.0
"""Rooms of the drive: the same for a number, with a way around the grass; touching is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco
from dinoiser_ros.sim.navigation.clouds import geometric_clouds
from dinoiser_ros.sim.navigation.follower import Pose
from dinoiser_ros.sim.navigation.frames import in_odom
from dinoiser_ros.sim.navigation.robot import CAMERA_HEIGHT, MOUNT, SimulatedBase
from dinoiser_ros.sim.navigation.room import GRASS, ROOM_SEED, Room, build_room
from dinoiser_ros.training.demo.splits import demo_splits

RADIUS = 0.22
SIZE = (96, 72)


@pytest.fixture(scope="module")
def room() -> Room:
    try:
        load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    return build_room(1, RADIUS, *SIZE)


@pytest.fixture
def base(room: Room) -> Iterator[SimulatedBase]:
    with SimulatedBase(room, RADIUS, *SIZE) as base:
        yield base


def test_no_model_was_trained_on_these_rooms() -> None:
    for split in demo_splits(0).values():
        assert split.first_seed + split.scenes < ROOM_SEED


def test_a_number_gives_the_same_room_and_a_shorter_way_over_the_grass(room: Room) -> None:
    again = build_room(1, RADIUS, *SIZE)
    assert (again.lawn, again.direct, again.around) == (room.lawn, room.direct, room.around)
    assert [(item.x, item.y) for item in again.scene.objects] == [
        (item.x, item.y) for item in room.scene.objects
    ]
    straight = np.hypot(*(room.goal - room.start))
    assert straight - 0.2 < room.direct < room.around
    assert any(item.shown for item in room.scene.objects)


def test_the_camera_and_the_frames_agree(room: Room, base: SimulatedBase) -> None:
    """The floor that it renders is at height 0 of odom, and its grass where the lawn is."""
    frame = base.look()
    depth = np.where(np.isin(frame.labels, [GRASS]), frame.depth, np.inf)
    places = in_odom(geometric_clouds(depth, frame.fovy, step=1), base.pose, MOUNT)
    assert len(places) > 50
    assert np.abs(places[:, 2]).max() < 0.03
    west, east, south, north = room.lawn
    assert (places[:, 0] > west - 0.05).all() and (places[:, 0] < east + 0.05).all()
    assert (places[:, 1] > south - 0.05).all() and (places[:, 1] < north + 0.05).all()
    assert pytest.approx(in_odom(np.zeros((1, 3)), base.pose, MOUNT)[0, 2]) == CAMERA_HEIGHT


def test_touching_is_counted_once_and_stops_the_robot(room: Room, base: SimulatedBase) -> None:
    item = next(item for item in room.scene.objects if item.shown)
    side = np.array([item.x, item.y]) * -1.0
    start = np.array([item.x, item.y]) + side / np.hypot(*side) * (item.shape.radius + 0.5)
    yaw = np.arctan2(item.y - start[1], item.x - start[0])
    base.pose = Pose(float(start[0]), float(start[1]), float(yaw))
    for _ in range(60):
        base.step(0.5, 0.0, 0.05)
    assert base.collisions == 1 and base.touched == [item.name]
    assert 0.1 < base.driven < 0.5 + item.shape.radius
    assert np.hypot(base.pose.x - item.x, base.pose.y - item.y) > RADIUS


def test_metres_on_grass_are_counted(room: Room, base: SimulatedBase) -> None:
    west, east, south, north = room.lawn
    base._solid = []  # nothing stands in the way
    base.pose = Pose(west - 0.5, (south + north) / 2, 0.0)
    for _ in range(80):
        base.step((east - west + 1.0) / 4.0, 0.0, 0.05)
    assert base.on_grass == pytest.approx(east - west, abs=0.06)
    assert base.driven == pytest.approx(east - west + 1.0)
