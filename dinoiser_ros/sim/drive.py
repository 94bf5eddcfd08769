# SPDX-License-Identifier: Apache-2.0
"""A simulated mobile robot driving through a scene: an endless stream of frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .camera import RenderedFrame, SceneCamera
from .placement import furnish, set_camera
from .scene import build_scene, repaint

SPEED = 0.6  # metres per second


class SimulatedRobot:
    """Drives a smooth closed loop through a random scene, looking around a little on its way.

    The GL context belongs to the thread that creates the robot: use it from that thread only.
    """

    def __init__(
        self,
        seed: int = 0,
        width: int = 256,
        height: int = 192,
        rate: float = 10.0,
        objects: int = 16,
    ) -> None:
        """Build and furnish the scene of ``seed``.

        Args:
            seed: the same seed gives the same scene and the same drive.
            width, height: of the images, in pixels.
            rate: frames per second of simulated time.
            objects: how many stand around.

        Raises:
            RendererUnavailable: MuJoCo or a GL library is missing; the message says what to
                install.
        """
        self.width, self.height, self.rate = width, height, rate
        self._scene = build_scene(seed, width, height, objects)
        rng = np.random.default_rng([seed, 6])
        repaint(self._scene, rng)
        self._radii = np.array(self._scene.half) * rng.uniform(0.35, 0.5, 2)
        self._phase, self._height = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.0)
        self._direction = 1 if rng.random() < 0.5 else -1
        path = np.stack([self._position(angle) for angle in np.linspace(0, 2 * np.pi, 64)])
        furnish(self._scene, rng, path)
        self._camera = SceneCamera(self._scene, width, height)
        self._step = 0

    def _position(self, angle: float) -> np.ndarray:
        """Where the robot is at an angle of its loop, (2,) in metres."""
        position: np.ndarray = self._radii * np.array([np.cos(angle), np.sin(angle)])
        return position

    def _pose(self, step: int) -> tuple[float, float, float, float]:
        """x, y, yaw, pitch of the camera at a step: along the loop, gaze swaying outwards."""
        turn = SPEED / self.rate / float(np.mean(self._radii))
        angle = self._phase + self._direction * turn * step
        x, y = self._position(angle)
        tangent = self._direction * self._radii * np.array([-np.sin(angle), np.cos(angle)])
        seconds = step / self.rate
        outward = -self._direction * (0.35 + 0.45 * np.sin(0.35 * seconds))
        yaw = np.arctan2(tangent[1], tangent[0]) + outward
        return x, y, yaw, np.radians(-9 + 4 * np.sin(0.5 * seconds))

    def frame(self, depth: bool = True) -> RenderedFrame:
        """The next frame of the drive."""
        x, y, yaw, pitch = self._pose(self._step)
        set_camera(self._scene, x, y, self._height, yaw, pitch)
        self._step += 1
        return self._camera.render(depth)

    def frames(self, depth: bool = True) -> Iterator[RenderedFrame]:
        """Frames without end, ``1 / rate`` seconds of simulated time apart.

        They are rendered as fast as they are asked for.
        """
        while True:
            yield self.frame(depth)

    def close(self) -> None:
        """Free the GL context."""
        self._camera.close()

    def __enter__(self) -> SimulatedRobot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
