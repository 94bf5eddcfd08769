# SPDX-License-Identifier: Apache-2.0
"""Costmap, planner and follower together, in a world of points: around a forbidden place or not."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.sim.navigation.clouds import LYING, STANDING, by_height, geometric_clouds
from dinoiser_ros.sim.navigation.follower import Pose
from dinoiser_ros.sim.navigation.navigator import Navigator

GOAL = np.array([4.0, 0.0])
FLOOR = np.stack(np.meshgrid(np.arange(0.3, 5, 0.05), np.arange(-2, 2, 0.05)), -1).reshape(-1, 2)
LAWN = (np.abs(FLOOR[:, 0] - 2.0) < 0.6) & (np.abs(FLOOR[:, 1]) < 0.8)


def flat(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.zeros((len(points), 1))], axis=1)


def drive(forbidden: bool) -> np.ndarray:
    """Where the robot was on its way to the goal, (N, 2)."""
    pose, trail = Pose(0.0, 0.0, 0.0), []
    navigator = Navigator(0.22, 0.08, pose)
    for _ in range(400):
        sensor = np.array([pose.x, pose.y, 0.9])
        seen = np.hypot(*(FLOOR - (pose.x, pose.y)).T) < 3.0
        marked = [flat(FLOOR[seen & LAWN])] if forbidden else []
        ground = FLOOR[seen & ~LAWN] if forbidden else FLOOR[seen]
        navigator.see(pose, sensor, marked, flat(ground))
        assert navigator.plan(pose, GOAL)
        pose = pose.moved(*navigator.command(pose), 0.1)
        trail.append((pose.x, pose.y))
        if np.hypot(pose.x - GOAL[0], pose.y) < 0.3:
            return np.array(trail)
    pytest.fail("the goal was not reached")


def on_lawn(trail: np.ndarray) -> np.ndarray:
    return (np.abs(trail[:, 0] - 2.0) < 0.6) & (np.abs(trail[:, 1]) < 0.8)


def test_a_forbidden_place_is_driven_around() -> None:
    free, around = drive(forbidden=False), drive(forbidden=True)
    assert on_lawn(free).any() and np.abs(free[:, 1]).max() < 0.2
    assert not on_lawn(around).any()
    assert np.abs(around[:, 1]).max() > 0.8 + 0.22


def test_it_does_not_drive_into_the_unknown() -> None:
    pose = Pose(0.0, 0.0, 0.0)
    navigator = Navigator(0.22, 0.08, pose)
    navigator.plan(pose, GOAL)
    assert navigator.command(pose)[0] > 0.0, "the disc around it is free"
    far = Pose(0.5, 0.0, 0.0)
    navigator.plan(far, GOAL)
    assert navigator.command(far)[0] == 0.0
    for _ in range(10):
        navigator.plan(far, GOAL)
    assert 0.0 < navigator.command(far)[0] < 0.2, "it creeps where waiting does not help"


def test_without_a_way_it_looks_around_and_then_forgets() -> None:
    pose = Pose(0.0, 0.0, 0.0)
    navigator = Navigator(0.22, 0.08, pose)
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = np.stack([np.cos(angle), np.sin(angle), np.full(200, 0.3)], axis=1)
    navigator.see(pose, np.array([0.0, 0.0, 0.9]), [ring], np.empty((0, 3)))
    assert not navigator.plan(pose, GOAL)
    assert navigator.command(pose) == (0.0, pytest.approx(0.6))
    for _ in range(10):
        if navigator.plan(pose, GOAL):
            return
    pytest.fail("it never forgot the ring")


def test_sources_limit_heights_and_ranges() -> None:
    sensor = np.array([1.0, 0.0, 0.9])
    points = np.array([[2.0, 0, 0.5], [2.0, 0, 0.01], [2.0, 0, 1.5], [6.0, 0, 0.5], [4.5, 0, 0.0]])
    assert STANDING.usable(points, sensor).tolist() == [points[0].tolist()]
    assert LYING.usable(points, sensor).tolist() == [points[1].tolist()]
    standing, ground = by_height(points, sensor)
    assert standing.tolist() == [points[0].tolist()]
    assert ground.tolist() == [points[1].tolist(), points[4].tolist()]


def test_points_of_depth_alone() -> None:
    depth = np.full((8, 12), 2.0, np.float32)
    depth[:, 6:] = np.inf
    cloud = geometric_clouds(depth, 90.0, step=1)
    assert len(cloud) == 48 and (cloud[:, 2] == 2.0).all()
    # 90 degrees over 8 rows: the outermost row's middle is 7 / 8 of the way to the edge.
    assert cloud[:, 1].min() == pytest.approx(-2.0 * 7 / 8)
