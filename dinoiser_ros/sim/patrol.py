# SPDX-License-Identifier: Apache-2.0
"""A simulated robot on patrol: straight lines and turns at given speeds, and where it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import RenderedFrame, SceneCamera
from .placement import furnish, set_camera
from .scene import build_scene, repaint

_PITCH = np.radians(-9.0)
_HEIGHT = 0.8  # metres


@dataclass(frozen=True)
class CameraPose:
    """Where a camera is, and where it looks.

    Attributes:
        x, y, z: metres.
        yaw, pitch: radians; a positive pitch looks up.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float

    def axes(self) -> np.ndarray:
        """(3, 3): the image's right and down and the viewing direction in the world, as rows."""
        forward = np.array(
            [
                np.cos(self.yaw) * np.cos(self.pitch),
                np.sin(self.yaw) * np.cos(self.pitch),
                np.sin(self.pitch),
            ]
        )
        right = np.array([np.sin(self.yaw), -np.cos(self.yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward])


class PatrolPath:
    """A rectangle with round corners, driven at a constant speed.

    Args:
        half: half of the rectangle's sides in metres, (x, y).
        speed: metres per second.
        turn_rate: radians per second in the corners.
    """

    def __init__(self, half: tuple[float, float], speed: float, turn_rate: float) -> None:
        self._radius = min(speed / turn_rate, *half)
        self._speed = speed
        across, along = half[0] - self._radius, half[1] - self._radius
        arc = self._radius * np.pi / 2
        # Counter-clockwise: up the east side, a corner, along the north side, ...
        self._lengths = np.array([2 * along, arc, 2 * across, arc] * 2)
        self._corners = [(across, along), (-across, along), (-across, -along), (across, -along)]
        self._starts = np.concatenate([[0.0], np.cumsum(self._lengths)])

    def at(self, seconds: float) -> tuple[float, float, float]:
        """X and y in metres, yaw in radians, after driving for some time."""
        travelled = (self._speed * seconds) % self._starts[-1]
        part = int(np.searchsorted(self._starts, travelled, side="right")) - 1
        beyond = travelled - self._starts[part]
        side, is_arc = divmod(part, 2)
        heading = np.pi / 2 * (side + 1)
        cx, cy = self._corners[side]
        if is_arc:
            angle = beyond / self._radius
        else:
            angle = 0.0
            cx -= np.cos(heading) * (self._lengths[part] - beyond)
            cy -= np.sin(heading) * (self._lengths[part] - beyond)
        outward = heading - np.pi / 2 + angle
        return (
            cx + self._radius * np.cos(outward),
            cy + self._radius * np.sin(outward),
            heading + angle,
        )


class PatrolRobot:
    """Drives a `PatrolPath` through a random scene.

    The GL context belongs to the thread that creates the robot: use it from that thread only.

    Args:
        seed: the same seed gives the same scene and the same drive.
        width, height: of the images, in pixels.
        speed: metres per second.
        turn_rate: radians per second in the corners.
        objects: how many stand around.

    Raises:
        RendererUnavailable: MuJoCo or a GL library is missing; the message says what to install.
    """

    def __init__(
        self,
        seed: int = 0,
        width: int = 640,
        height: int = 480,
        speed: float = 0.5,
        turn_rate: float = 0.5,
        objects: int = 16,
    ) -> None:
        self._scene = build_scene(seed, width, height, objects)
        rng = np.random.default_rng([seed, 7])
        repaint(self._scene, rng)
        half = 0.5 * np.array(self._scene.half)
        self._path = PatrolPath((float(half[0]), float(half[1])), speed, turn_rate)
        self._start = rng.uniform(0.0, 20.0)
        path = np.array([self._path.at(seconds)[:2] for seconds in np.linspace(0, 60, 240)])
        furnish(self._scene, rng, path)
        self._camera = SceneCamera(self._scene, width, height)

    def pose(self, seconds: float) -> CameraPose:
        """Where the camera is after driving for some time."""
        x, y, yaw = self._path.at(self._start + seconds)
        return CameraPose(x, y, _HEIGHT, yaw, _PITCH)

    def frame(self, seconds: float, depth: bool = False) -> RenderedFrame:
        """What the camera sees after driving for some time."""
        pose = self.pose(seconds)
        set_camera(self._scene, pose.x, pose.y, pose.z, pose.yaw, pose.pitch)
        return self._camera.render(depth)

    def close(self) -> None:
        """Free the GL context."""
        self._camera.close()

    def __enter__(self) -> PatrolRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
