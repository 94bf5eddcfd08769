# SPDX-License-Identifier: Apache-2.0
"""The robot's frames, as REP-103 has them, and how it follows a path."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.sim.navigation.follower import Follower, Pose, wrapped
from dinoiser_ros.sim.navigation.frames import camera_mount, in_odom, odometry
from dinoiser_ros.sim.patrol import CameraPose

HEIGHT, TILT = 0.9, 0.4
MOUNT = camera_mount(HEIGHT, TILT)


def test_frames_follow_rep_103() -> None:
    level = camera_mount(HEIGHT, 0.0)
    place = in_odom(np.array([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), POSE, level)
    assert place[0] == pytest.approx([1.0, 4.0, HEIGHT]), "z of the optical frame is ahead"
    assert place[1] == pytest.approx([2.0, 2.0, HEIGHT]), "x is right"
    assert place[2] == pytest.approx([1.0, 2.0, HEIGHT - 1.0]), "y is down"


POSE = Pose(1.0, 2.0, np.pi / 2)


def test_frames_agree_with_the_camera_that_renders() -> None:
    """Two derivations of one rotation: quaternions here, axes there."""
    pose = Pose(0.3, -0.7, 2.1)
    axes = CameraPose(pose.x, pose.y, HEIGHT, pose.yaw, -TILT).axes()
    points = np.random.default_rng(0).normal(size=(20, 3))
    expected = points @ axes + (pose.x, pose.y, HEIGHT)
    np.testing.assert_allclose(in_odom(points, pose, MOUNT), expected, atol=1e-12)


def test_the_tree_of_frames_is_one_chain() -> None:
    chain = [odometry(POSE), *MOUNT]
    assert [part.child for part in chain[:-1]] == [part.parent for part in chain[1:]]
    assert [chain[0].parent, chain[-1].child] == ["odom", "camera_optical_frame"]
    for part in chain:
        assert np.linalg.norm(part.rotation) == pytest.approx(1.0)


@pytest.mark.parametrize(("speed", "turn"), [(0.5, 0.0), (0.5, 0.8), (0.0, -1.0), (0.4, 1e-12)])
def test_arcs_are_those_of_many_small_steps(speed: float, turn: float) -> None:
    pose = small = Pose(0.2, 0.1, 3.0)
    for _ in range(4000):
        yaw = small.yaw + turn * 0.001 / 2
        small = Pose(
            small.x + speed * 0.001 * np.cos(yaw),
            small.y + speed * 0.001 * np.sin(yaw),
            small.yaw + turn * 0.001,
        )
    moved = pose.moved(speed, turn, 4.0)
    assert (moved.x, moved.y) == pytest.approx((small.x, small.y), abs=1e-5)
    assert wrapped(moved.yaw - small.yaw) == pytest.approx(0.0, abs=1e-9)


def test_a_path_is_followed_closely() -> None:
    angle = np.linspace(0.0, 1.5 * np.pi, 100)
    path = np.stack([2.0 * np.sin(angle), 2.0 - 2.0 * np.cos(angle)], axis=1)
    follower, pose, off = Follower(), Pose(0.0, 0.0, 0.0), []
    for _ in range(800):
        pose = pose.moved(*follower.command(pose, path), 0.05)
        off.append(abs(np.hypot(pose.x, pose.y - 2.0) - 2.0))
    assert max(off) < 0.1
    assert np.hypot(pose.x - path[-1, 0], pose.y - path[-1, 1]) < 0.15


def test_it_turns_on_the_spot_towards_what_is_behind() -> None:
    follower = Follower()
    behind = np.array([[0.0, 0.0], [-1.0, 0.3]])
    speed, turn = follower.command(Pose(0.0, 0.0, 0.0), behind)
    assert speed == 0.0 and turn == follower.turn_rate
    assert follower.command(Pose(0.0, 0.0, 0.0), behind * (1, -1))[1] == -follower.turn_rate


def test_without_a_path_it_stands() -> None:
    assert Follower().command(Pose(0, 0, 0), np.empty((0, 2))) == (0.0, 0.0)
    assert Follower().command(Pose(0, 0, 0), np.array([[1.0, 1.0]])) == (0.0, 0.0)
