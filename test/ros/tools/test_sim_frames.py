# SPDX-License-Identifier: Apache-2.0
"""The frames of sim_camera: rendered, or recorded ones where nothing can be rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dinoiser_ros.ros.tools import sim_frames
from dinoiser_ros.ros.tools.sim_frames import CameraFrame, CameraOptions, frames_of_camera
from dinoiser_ros.sim import drive
from dinoiser_ros.sim.frames import LabelledFrame, write_frames
from dinoiser_ros.sim.gl import RendererUnavailable


class NoRenderer:
    """A robot on a machine without a GL library."""

    def __init__(self, *_: object) -> None:
        raise RendererUnavailable("install libegl1")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recorded frames, and no others."""
    instances = np.zeros((4, 6), np.uint8)
    instances[0] = 255
    frames = (
        LabelledFrame(name, np.full((4, 6, 3), level, np.uint8), instances, instances, things, 1)
        for name, level, things in (
            ("a", 10, {0: ("ball", "red")}),
            ("b", 200, {0: ("box", None)}),
        )
    )
    write_frames(tmp_path, frames, "for a test")
    monkeypatch.setattr(sim_frames, "_recorded_places", lambda: [tmp_path / "no", tmp_path])
    return tmp_path


def test_recorded_frames_come_round_again(recorded: Path) -> None:
    frames, note = frames_of_camera(CameraOptions(recorded=True))
    first, second, again = (next(frames) for _ in range(3))
    assert "held-out frames" in note
    assert np.array_equal(first.rgb, again.rgb)
    assert first.rgb.mean() < second.rgb.mean()
    assert first.labels.shape == (4, 6)
    assert (first.labels[0] == 255).all()
    assert first.depth is None


def test_without_a_renderer_the_recorded_frames_are_shown(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "SimulatedRobot", NoRenderer)
    frames, note = frames_of_camera(CameraOptions())
    assert next(frames).rgb.shape == (4, 6, 3)
    assert note.startswith("install libegl1. Showing the shipped held-out frames")


def test_without_either_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_frames, "_recorded_places", lambda: [tmp_path])
    with pytest.raises(sim_frames.FramesUnavailable, match="libegl1"):
        frames_of_camera(CameraOptions(recorded=True))


def test_the_robot_enters_another_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = []

    class Robot:
        def __init__(self, seed: int, width: int, height: int, rate: float) -> None:
            rooms.append(seed)

        def frame(self) -> CameraFrame:
            return CameraFrame(np.zeros((2, 2, 3)), np.zeros((2, 2)), None, 60.0)

        def close(self) -> None:
            rooms.append("closed")

    monkeypatch.setattr(drive, "SimulatedRobot", Robot)
    frames, _ = frames_of_camera(CameraOptions(seed=7, rate=10.0, room_seconds=0.2))
    for _ in range(5):
        next(frames)
    assert rooms == [7, "closed", 8, "closed", 9]


def test_the_focal_length_fits_the_field_of_view() -> None:
    frame = CameraFrame(np.zeros((240, 320, 3)), np.zeros((240, 320)), None, 90.0)
    assert frame.focal_length == pytest.approx(120.0)
