# SPDX-License-Identifier: Apache-2.0
"""The frames that `sim_camera` publishes: rendered, or the shipped held-out ones. No ROS."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinoiser_ros.geometry.camera_model import focal_length


class FramesUnavailable(Exception):
    """Neither a renderer nor recorded frames; one sentence that says what to install."""


@dataclass
class CameraFrame:
    """One frame with its ground truth.

    Attributes:
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8 ids of ``dinoiser_ros.sim.classes.CLASSES``, 255 for none.
        depth: (H, W) float32 in metres, infinite in the sky; None if unknown.
        fovy: vertical field of view in degrees; None if unknown.
    """

    rgb: np.ndarray
    labels: np.ndarray
    depth: np.ndarray | None = None
    fovy: float | None = None

    @property
    def focal_length(self) -> float:
        """Focal length in pixels; raises ValueError if the field of view is unknown."""
        if self.fovy is None:
            raise ValueError("the field of view of this frame is unknown")
        return focal_length(self.labels.shape[0], self.fovy)


@dataclass(frozen=True)
class CameraOptions:
    """What `sim_camera` shows.

    Attributes:
        seed: which world.
        width, height: of rendered frames in pixels; recorded ones keep their own size.
        rate: frames per second of simulated time.
        room_seconds: simulated seconds in one room before the robot enters the next; 0: it stays.
        recorded: do not render at all.
    """

    seed: int = 0
    width: int = 320
    height: int = 240
    rate: float = 10.0
    room_seconds: float = 0.0
    recorded: bool = False


def frames_of_camera(options: CameraOptions) -> tuple[Iterator[CameraFrame], str]:
    """Endless frames of the simulated robot's camera.

    Returns:
        The frames, and a note for the user ("" if there is nothing to say).

    Raises:
        FramesUnavailable: nothing can be rendered, and there are no recorded frames.
    """
    reason = ""
    if not options.recorded:
        from dinoiser_ros.sim.gl import RendererUnavailable

        try:
            return rendered_frames(options), ""
        except RendererUnavailable as error:
            reason = f"{error}. "
    return recorded_frames(), f"{reason}Showing the shipped held-out frames instead of rendering"


def rendered_frames(options: CameraOptions) -> Iterator[CameraFrame]:
    """Frames of a robot that drives through simulated rooms; raises RendererUnavailable."""
    from dinoiser_ros.sim.drive import SimulatedRobot

    def enter(room: int) -> SimulatedRobot:
        return SimulatedRobot(options.seed + room, options.width, options.height, options.rate)

    def frames(robot: SimulatedRobot) -> Iterator[CameraFrame]:
        steps = round(options.room_seconds * options.rate)
        for step in itertools.count(1):
            frame = robot.frame()
            yield CameraFrame(frame.rgb, frame.labels, frame.depth, frame.fovy)
            if steps and step % steps == 0:
                robot.close()
                robot = enter(step // steps)

    # The first room now: a missing GL library shows here and not in the middle of a stream.
    return frames(enter(0))


def recorded_frames() -> Iterator[CameraFrame]:
    """The shipped held-out frames, over and over; raises FramesUnavailable without them."""
    from dinoiser_ros.sim.frames import INDEX, read_frames

    folder = next((place for place in _recorded_places() if (place / INDEX).is_file()), None)
    if folder is None:
        raise FramesUnavailable(
            "there are no recorded frames to show: install a GL library to render with "
            "(libegl1 and libgl1-mesa-dri), or build the package with data/heldout"
        )

    def frames() -> Iterator[CameraFrame]:
        while True:
            for frame in read_frames(folder):
                yield CameraFrame(frame.rgb, frame.labels)

    return frames()


def _recorded_places() -> Iterator[Path]:
    """Where the held-out frames may be: installed with the package, or in a source tree."""
    with contextlib.suppress(LookupError, ImportError):
        from ament_index_python.packages import get_package_share_directory

        yield Path(get_package_share_directory("dinoiser_ros"), "heldout")
    yield Path(__file__).resolve().parents[3] / "data" / "heldout"
