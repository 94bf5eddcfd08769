# SPDX-License-Identifier: Apache-2.0
"""Costmap, planner and follower together: clouds and a goal in, speeds out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .costmap import UNKNOWN, RollingCostmap, inflated
from .follower import Follower, Pose
from .planner import cheapest_path

_START_DISC = 0.8  # metres around the robot that it cannot see, and that are free at the start
_SEEN_AHEAD = 0.6  # metres of the path that have to be known before the robot goes on
_CREEP = 0.15  # metres per second where they stay unknown
_PATIENCE = 6  # updates without a way, or without knowledge, until something else is tried


class Navigator:
    """Leads a robot to a goal.

    Args:
        radius: of the robot in metres.
        margin: metres beside it that are kept free, too.
        pose: where it starts.
        follower: how it follows a path.

    Attributes:
        costmap: what it knows.
        path: (N, 2) metres in odom; empty without a way.
    """

    def __init__(
        self, radius: float, margin: float, pose: Pose, follower: Follower | None = None
    ) -> None:
        self.costmap = RollingCostmap()
        self.path: np.ndarray = np.empty((0, 2))
        self._reach = radius + margin
        self._follower = follower or Follower()
        self._stuck = self._waited = 0
        self.costmap.move_to(pose.x, pose.y)
        self.costmap.free_disc(pose.x, pose.y, _START_DISC)

    def see(
        self, pose: Pose, sensor: np.ndarray, obstacles: Sequence[np.ndarray], ground: np.ndarray
    ) -> None:
        """Clear and then mark, as Nav2 does, with clouds of one moment.

        Args:
            pose: where the robot is now.
            sensor: (3,) where the camera was, in metres.
            obstacles: clouds (N, 3) in metres.
            ground: cloud (N, 3) in metres.
        """
        self.costmap.move_to(pose.x, pose.y)
        self.costmap.clear(sensor, ground)
        for cloud in obstacles:
            self.costmap.mark(cloud)

    def plan(self, pose: Pose, goal: np.ndarray) -> bool:
        """Plan anew; returns whether a way to the goal, (2,) metres, is known."""
        grid = self.costmap
        last = len(grid.states) - 1
        ends = grid.cells(np.array([[pose.x, pose.y], goal])).clip(0, last).tolist()
        cost = inflated(grid.states, grid.resolution, self._reach)
        cells, arrives = cheapest_path(cost, tuple(ends[0]), tuple(ends[1]))
        self.path = grid.centres(cells)
        self._stuck = 0 if arrives else self._stuck + 1
        if self._stuck > _PATIENCE:
            # What it believes leaves no way: look again.
            grid.forget_marks()
            self._stuck = 0
        self._waited = self._waited + 1 if self._is_unknown_ahead(pose) else 0
        return arrives

    def command(self, pose: Pose) -> tuple[float, float]:
        """Speed in m/s and turn in rad/s for now."""
        if self._stuck:
            return 0.0, self._follower.turn_rate / 2  # looks around for a way
        speed, turn = self._follower.command(pose, self.path)
        if speed and self._is_unknown_ahead(pose):
            speed, turn = (_CREEP if self._waited > _PATIENCE else 0.0), turn
        return speed, turn

    def _is_unknown_ahead(self, pose: Pose) -> bool:
        away = np.hypot(self.path[:, 0] - pose.x, self.path[:, 1] - pose.y)
        return bool((self.costmap.states_at(self.path[away < _SEEN_AHEAD]) == UNKNOWN).any())
