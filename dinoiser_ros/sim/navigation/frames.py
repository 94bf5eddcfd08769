# SPDX-License-Identifier: Apache-2.0
"""The robot's frames after REP-103 and REP-105: odom, base_link, camera_link, and the optical one.

base_link is on the floor between the wheels, x ahead and y left; camera_link is turned like it
and then tilted down; the optical frame has x right, y down and z ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .follower import Pose

ODOM, BASE, CAMERA, OPTICAL = "odom", "base_link", "camera_link", "camera_optical_frame"


@dataclass(frozen=True)
class Transform:
    """Where a frame is in its parent.

    Attributes:
        parent, child: names of frames.
        translation: (3,) metres.
        rotation: (4,) quaternion x, y, z, w.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]

    def matrix(self) -> np.ndarray:
        """(4, 4): takes homogeneous points of the child's frame into the parent's."""
        x, y, z, w = self.rotation
        result = np.eye(4)
        result[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        result[:3, 3] = self.translation
        return result


def odometry(pose: Pose) -> Transform:
    """base_link in odom."""
    half = pose.yaw / 2
    turned = (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))
    return Transform(ODOM, BASE, (pose.x, pose.y, 0.0), turned)


def camera_mount(height: float, tilt: float) -> tuple[Transform, Transform]:
    """camera_link in base_link, and the optical frame in camera_link.

    Args:
        height: of the camera over the floor in metres; it is above the middle of the robot.
        tilt: how far it looks down, in radians.
    """
    down = (0.0, float(np.sin(tilt / 2)), 0.0, float(np.cos(tilt / 2)))
    return (
        Transform(BASE, CAMERA, (0.0, 0.0, height), down),
        Transform(CAMERA, OPTICAL, (0.0, 0.0, 0.0), (-0.5, 0.5, -0.5, 0.5)),
    )


def in_odom(points: np.ndarray, pose: Pose, mount: tuple[Transform, Transform]) -> np.ndarray:
    """Points of the optical frame, (N, 3) in metres, in odom, as seen from a pose."""
    matrix = odometry(pose).matrix() @ mount[0].matrix() @ mount[1].matrix()
    placed: np.ndarray = points @ matrix[:3, :3].T + matrix[:3, 3]
    return placed
