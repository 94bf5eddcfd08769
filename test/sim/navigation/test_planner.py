# SPDX-License-Identifier: Apache-2.0
"""The planner against a naive Dijkstra, and what it does where there is no way."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from dinoiser_ros.sim.navigation.planner import cheapest_path, path_length


def naive_costs(cost: np.ndarray, start: tuple[int, int]) -> dict[tuple[int, int], float]:
    """What it costs to reach each cell, (column, row)."""
    rows, columns = cost.shape
    found: dict[tuple[int, int], float] = {}
    waiting = [(0.0, start)]
    while waiting:
        so_far, (column, row) = heapq.heappop(waiting)
        if (column, row) in found:
            continue
        found[column, row] = so_far
        for right in (-1, 0, 1):
            for up in (-1, 0, 1):
                x, y = column + right, row + up
                if not (right or up) or not (0 <= x < columns and 0 <= y < rows):
                    continue
                if right and up and not np.isfinite(cost[row, x] + cost[y, column]):
                    continue
                step = np.hypot(right, up) * (cost[row, column] + cost[y, x]) / 2
                if np.isfinite(step):
                    heapq.heappush(waiting, (so_far + step, (x, y)))
    return found


def cost_of(path: np.ndarray, cost: np.ndarray) -> float:
    along = cost[path[:, 1], path[:, 0]]
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return float((steps * (along[1:] + along[:-1]) / 2).sum())


@pytest.mark.parametrize("seed", range(6))
def test_paths_are_as_cheap_as_a_naive_search_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost = 1.0 + 3.0 * rng.random((14, 17))
    cost[rng.random(cost.shape) < 0.25] = np.inf
    cost[0:3, 0:3] = 1.0
    naive = naive_costs(cost, (1, 1))
    for goal in [(16, 13), (8, 7), (3, 12), (16, 0)]:
        path, arrives = cheapest_path(cost, (1, 1), goal)
        assert tuple(path[0]) == (1, 1)
        assert arrives == (goal in naive)
        assert np.abs(np.diff(path, axis=0)).max() == 1
        end = tuple(path[-1].tolist())
        assert cost_of(path, cost) == pytest.approx(naive[end])
        if not arrives:
            distances = {cell: np.hypot(*np.subtract(cell, goal)) for cell in naive}
            assert distances[end] == pytest.approx(min(distances.values()))


def test_no_path_cuts_a_corner() -> None:
    cost = np.full((7, 7), np.inf)
    cost[3, :4] = cost[4, 4:] = 1.0
    path, arrives = cheapest_path(cost, (0, 3), (6, 4))
    assert not arrives and path[-1].tolist() == [3, 3]
    cost[3, 4] = cost[4, 3] = 1.0
    path, arrives = cheapest_path(cost, (0, 3), (6, 4))
    assert arrives and len(path) == 7


def test_a_robot_that_is_too_near_to_something_gets_away() -> None:
    cost = np.ones((9, 9))
    cost[3:6, 3:6] = np.inf
    path, arrives = cheapest_path(cost, (4, 4), (8, 4))
    assert arrives and len(path) == 5


def test_length_of_a_path() -> None:
    assert path_length(np.array([[0, 0], [1, 1], [1, 3]])) == pytest.approx(2**0.5 + 2)
    assert path_length(np.array([[5, 5]])) == 0.0
