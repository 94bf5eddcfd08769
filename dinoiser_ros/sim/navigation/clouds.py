# SPDX-License-Identifier: Apache-2.0
"""Which points of clouds count, as in the sources of Nav2's layers; and clouds of depth alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dinoiser_ros.geometry.camera_model import pinhole, ray_directions


@dataclass(frozen=True)
class Source:
    """Limits of a cloud's points.

    Attributes:
        lowest, highest: metres over the floor.
        farthest: metres from the camera, along the floor.
    """

    lowest: float
    highest: float
    farthest: float

    def usable(self, points: np.ndarray, sensor: np.ndarray) -> np.ndarray:
        """Those of (N, 3) points in odom that are within the limits, seen from `sensor`."""
        away = np.hypot(points[:, 0] - sensor[0], points[:, 1] - sensor[1])
        heights = points[:, 2]
        good = (heights >= self.lowest) & (heights <= self.highest) & (away <= self.farthest)
        chosen: np.ndarray = points[good]
        return chosen


# As config/nav2_obstacles.yaml has them; no higher than the robot.
STANDING = Source(0.05, 1.1, 4.0)
LYING = Source(-0.1, 0.2, 3.0)
GROUND = Source(-0.2, 0.2, 4.5)
# Without classes only the height tells an obstacle from the floor.
_FLAT = Source(-0.05, 0.05, 4.5)


def geometric_clouds(depth: np.ndarray, fovy: float, step: int = 2) -> np.ndarray:
    """All points of a depth image.

    Args:
        depth: (H, W) float32 metres, infinite in the sky.
        fovy: vertical field of view in degrees.
        step: take one in so many rows and columns.

    Returns:
        (N, 3) float32 in the optical frame.
    """
    height, width = depth.shape
    rays = ray_directions(pinhole(width, height, fovy))[:, ::step, ::step]
    part = depth[::step, ::step]
    there = np.isfinite(part)
    ahead = part[there]
    points: np.ndarray = np.stack([*(rays[:, there] * ahead), ahead], axis=1)
    return points


def by_height(points: np.ndarray, sensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Obstacles and ground among points in odom, told apart by their height alone."""
    return STANDING.usable(points, sensor), _FLAT.usable(points, sensor)
