# SPDX-License-Identifier: Apache-2.0
"""A rolling costmap that clouds mark and clear, after Nav2's ObstacleLayer and InflationLayer."""

from __future__ import annotations

import numpy as np

UNKNOWN, FREE, LETHAL = 255, 0, 254
"""States of a cell, as nav2_costmap_2d has them."""


class RollingCostmap:
    """A square grid in the frame odom that moves along with the robot.

    Args:
        size: of its sides in metres.
        resolution: metres a cell.
        clearing_height: a ray clears the cells over which it is lower than this, in metres. So one
            that passes over a low obstacle, too near to be seen, does not clear it.

    Attributes:
        states: (n, n) uint8, `UNKNOWN`, `FREE` or `LETHAL`; rows along y, columns along x.
        origin: (2,) the cell of odom, (x, y), that is column 0 and row 0.
    """

    def __init__(
        self, size: float = 10.0, resolution: float = 0.1, clearing_height: float = 0.25
    ) -> None:
        side = round(size / resolution)
        self.resolution = resolution
        self.states: np.ndarray = np.full((side, side), UNKNOWN, np.uint8)
        self.origin: np.ndarray = np.full(2, -(side // 2))
        self._clearing_height = clearing_height

    def cells(self, points: np.ndarray) -> np.ndarray:
        """Columns and rows, (N, 2) int, of points (N, 2 or more) in metres; may lie outside."""
        places: np.ndarray = np.floor(points[:, :2] / self.resolution).astype(int) - self.origin
        return places

    def states_at(self, points: np.ndarray) -> np.ndarray:
        """(N,) uint8 states of the cells of points (N, 2 or more) in metres; outside unknown."""
        columns, rows = self.cells(points).T
        inside = self._inside(columns, rows)
        states = np.full(len(columns), UNKNOWN, np.uint8)
        states[inside] = self.states[rows[inside], columns[inside]]
        return states

    def centres(self, cells: np.ndarray) -> np.ndarray:
        """The middles, (N, 2) in metres, of cells (N, 2), columns and rows."""
        middles: np.ndarray = (cells + self.origin + 0.5) * self.resolution
        return middles

    def move_to(self, x: float, y: float) -> None:
        """Put the middle over a point in metres; what leaves the window is forgotten."""
        side = len(self.states)
        origin = np.floor(np.array([x, y]) / self.resolution).astype(int) - side // 2
        right, up = origin - self.origin
        moved = np.full_like(self.states, UNKNOWN)
        if abs(right) < side and abs(up) < side:
            (to_row, from_row), (to_column, from_column) = _overlap(up, side), _overlap(right, side)
            moved[to_row, to_column] = self.states[from_row, from_column]
        self.states, self.origin = moved, origin

    def clear(self, sensor: np.ndarray, ground: np.ndarray) -> None:
        """Clear the cells under the last, low part of the rays from a sensor to ground points.

        Args:
            sensor: (3,) metres.
            ground: (N, 3) metres.
        """
        ground = ground[_first_of_each(self.cells(ground), len(self.states))]
        ways = ground - sensor
        lengths = np.hypot(ways[:, 0], ways[:, 1])
        # What share of the ray is lower than that: a ray to the height 0 falls evenly.
        low = np.clip(self._clearing_height / max(float(sensor[2]), 1e-6), 0.0, 1.0)
        steps = 4 * int(np.ceil(low * lengths.max(initial=0.0) / self.resolution)) + 1
        shares = 1.0 - low * np.linspace(0.0, 1.0, steps)
        self._set((sensor + ways[:, np.newaxis] * shares[:, np.newaxis]).reshape(-1, 3), FREE)

    def mark(self, points: np.ndarray) -> None:
        """Make the cells of obstacle points, (N, 3) in metres, lethal."""
        self._set(points, LETHAL)

    def free_disc(self, x: float, y: float, radius: float) -> None:
        """Clear what is within a radius: where a robot stands there is nothing else."""
        self.states[self._distances(x, y) <= radius] = FREE

    def forget_marks(self) -> None:
        """Make lethal cells unknown, as Nav2's recovery behaviour does."""
        self.states[self.states == LETHAL] = UNKNOWN

    def _distances(self, x: float, y: float) -> np.ndarray:
        side = len(self.states)
        middles = (np.arange(side)[:, np.newaxis] + self.origin + 0.5) * self.resolution
        distances: np.ndarray = np.hypot(middles[:, 0] - x, middles[:, 1][:, np.newaxis] - y)
        return distances

    def _set(self, points: np.ndarray, state: int) -> None:
        columns, rows = self.cells(points).T
        inside = self._inside(columns, rows)
        self.states[rows[inside], columns[inside]] = state

    def _inside(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        side = len(self.states)
        within: np.ndarray = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
        return within


def _overlap(shift: int, side: int) -> tuple[slice, slice]:
    """Along one axis: where what stays goes to, and where it comes from."""
    if shift >= 0:
        return slice(0, side - shift), slice(shift, side)
    return slice(-shift, side), slice(0, side + shift)


def _first_of_each(cells: np.ndarray, side: int) -> np.ndarray:
    """Indices of one point for each cell: thousands of points lie on a few hundred cells."""
    keys = cells[:, 0].astype(np.int64) * (4 * side) + cells[:, 1]
    first: np.ndarray = np.unique(keys, return_index=True)[1]
    return first


def inflated(
    states: np.ndarray, resolution: float, radius: float, soft: float = 0.35, weight: float = 4.0
) -> np.ndarray:
    """What it costs to be in a cell, for a round robot.

    Args:
        states: (n, n) as `RollingCostmap` has them.
        resolution: metres a cell.
        radius: cells nearer to a lethal one than this, in metres, are not to be entered.
        soft: how far beyond it nearness still costs, in metres.
        weight: what it costs right there, beside 1 for a free cell.

    Returns:
        (n, n) float: infinite where the robot would touch something, at least 1 elsewhere.
    """
    from scipy.ndimage import distance_transform_edt

    lethal = states == LETHAL
    if not lethal.any():
        distance = np.full(states.shape, np.inf)
    else:
        distance = distance_transform_edt(~lethal) * resolution
    cost = np.where(states == UNKNOWN, 1.5, 1.0)
    cost += weight * np.clip(1.0 - (distance - radius) / soft, 0.0, 1.0)
    cost[distance < radius] = np.inf
    return cost
