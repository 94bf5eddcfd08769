# SPDX-License-Identifier: Apache-2.0
"""Follows a path by pure pursuit (Coulter, 1992), turning on the spot at sharp bends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Where a robot is: metres and radians in the frame odom."""

    x: float
    y: float
    yaw: float

    def moved(self, speed: float, turn: float, seconds: float) -> Pose:
        """After driving an arc: `speed` in m/s, `turn` in rad/s."""
        if abs(turn * seconds) < 1e-9:
            ahead = speed * seconds
            return Pose(
                self.x + ahead * np.cos(self.yaw), self.y + ahead * np.sin(self.yaw), self.yaw
            )
        yaw, radius = self.yaw + turn * seconds, speed / turn
        return Pose(
            float(self.x + radius * (np.sin(yaw) - np.sin(self.yaw))),
            float(self.y - radius * (np.cos(yaw) - np.cos(self.yaw))),
            float(wrapped(yaw)),
        )


def wrapped(angle: float) -> float:
    """An angle in radians between -pi and pi."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


@dataclass(frozen=True)
class Follower:
    """Pure pursuit.

    Attributes:
        speed: most metres per second.
        turn_rate: most radians per second.
        lookahead: metres along the path to the point that is aimed at.
        sharp: heading error in radians beyond which the robot turns on the spot.
    """

    speed: float = 0.6
    turn_rate: float = 1.2
    lookahead: float = 0.5
    sharp: float = 0.6

    def command(self, pose: Pose, path: np.ndarray) -> tuple[float, float]:
        """Speed in m/s and turn in rad/s towards a path, (N, 2) in metres; 0, 0 without one."""
        if len(path) < 2:
            return 0.0, 0.0
        aim = self._aim(pose, path)
        error = wrapped(np.arctan2(aim[1] - pose.y, aim[0] - pose.x) - pose.yaw)
        if abs(error) > self.sharp:
            return 0.0, float(np.copysign(self.turn_rate, error))
        distance = max(float(np.hypot(aim[0] - pose.x, aim[1] - pose.y)), 0.1)
        speed = self.speed * np.cos(error) * min(1.0, distance / self.lookahead)
        turn = 2 * speed * np.sin(error) / distance
        return float(speed), float(np.clip(turn, -self.turn_rate, self.turn_rate))

    def _aim(self, pose: Pose, path: np.ndarray) -> np.ndarray:
        """The point of the path that is `lookahead` beyond the nearest one."""
        nearest = int(np.hypot(path[:, 0] - pose.x, path[:, 1] - pose.y).argmin())
        rest = path[nearest:]
        along = np.concatenate([[0.0], np.linalg.norm(np.diff(rest, axis=0), axis=1).cumsum()])
        index = min(int(np.searchsorted(along, self.lookahead)), len(rest) - 1)
        aim: np.ndarray = rest[index]
        return aim
