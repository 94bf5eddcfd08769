# SPDX-License-Identifier: Apache-2.0
"""The patrol: constant speed, turns at one rate, and a closed way."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.sim.patrol import CameraPose, PatrolPath

SPEED, TURN_RATE, STEP = 0.5, 0.5, 0.01


def drive(path: PatrolPath, seconds: float) -> np.ndarray:
    return np.array([path.at(time) for time in np.arange(0.0, seconds, STEP)])


@pytest.mark.parametrize("half", [(2.0, 1.5), (1.3, 2.7), (0.8, 0.8)])
def test_speed_and_turns_are_as_asked(half: tuple[float, float]) -> None:
    states = drive(PatrolPath(half, SPEED, TURN_RATE), 40.0)
    speeds = np.linalg.norm(np.diff(states[:, :2], axis=0), axis=1) / STEP
    np.testing.assert_allclose(speeds, SPEED, rtol=0.01)
    turns = np.abs((np.diff(states[:, 2]) + np.pi) % (2 * np.pi) - np.pi) / STEP
    radius = min(SPEED / TURN_RATE, *half)
    assert turns.max() == pytest.approx(SPEED / radius, rel=0.01)
    assert (np.minimum(turns, np.abs(turns - SPEED / radius)) < 0.01).mean() > 0.98
    assert (np.abs(states[:, :2]) <= np.array(half) + 1e-9).all()


def test_the_robot_looks_where_it_drives() -> None:
    states = drive(PatrolPath((2.0, 1.5), SPEED, TURN_RATE), 40.0)
    ways = np.diff(states[:, :2], axis=0) / (SPEED * STEP)
    looks = np.stack([np.cos(states[:-1, 2]), np.sin(states[:-1, 2])], axis=1)
    assert (ways * looks).sum(axis=1).min() > 0.999


def test_the_way_is_closed() -> None:
    path = PatrolPath((2.0, 1.5), SPEED, TURN_RATE)
    round_trip = (4 * (2.0 - 1.0) + 4 * (1.5 - 1.0) + 2 * np.pi) / SPEED
    np.testing.assert_allclose(path.at(round_trip + 3.0)[:2], path.at(3.0)[:2], atol=1e-9)


def test_a_camera_has_right_handed_axes() -> None:
    axes = CameraPose(0, 0, 1, yaw=0.7, pitch=-0.3).axes()
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert axes[2][2] < 0, "a negative pitch looks down"
    assert axes[1][2] < 0, "the image's rows go down"
