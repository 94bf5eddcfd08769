# SPDX-License-Identifier: Apache-2.0
"""The rolling costmap: marking, clearing along rays, moving, inflation; against naive versions."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.sim.navigation.costmap import FREE, LETHAL, UNKNOWN, RollingCostmap, inflated

SENSOR = np.array([0.05, 0.05, 1.0])


def state(grid: RollingCostmap, x: float, y: float) -> int:
    column, row = grid.cells(np.array([[x, y]]))[0]
    return int(grid.states[row, column])


def test_cells_and_their_middles_agree() -> None:
    grid = RollingCostmap(2.0, 0.1)
    grid.move_to(3.3, -1.2)
    places = np.random.default_rng(0).uniform(-0.9, 0.9, (50, 2)) + (3.3, -1.2)
    assert np.abs(grid.centres(grid.cells(places)) - places).max() <= 0.05 + 1e-9


def test_obstacles_mark_and_stay_until_cleared() -> None:
    grid = RollingCostmap(6.0, 0.1)
    grid.mark(np.array([[1.0, 0.5, 0.4], [99.0, 0.0, 0.4]]))
    assert state(grid, 1.0, 0.5) == LETHAL and (grid.states == LETHAL).sum() == 1
    grid.clear(SENSOR, np.empty((0, 3)))
    assert state(grid, 1.0, 0.5) == LETHAL
    grid.clear(SENSOR, np.array([[1.0, 0.5, 0.0]]))
    assert state(grid, 1.0, 0.5) == FREE


def test_a_ray_clears_only_where_it_is_low() -> None:
    """A camera looks over what stands right before it: that is not proven to be gone."""
    grid = RollingCostmap(8.0, 0.1, clearing_height=0.25)
    grid.states[:] = LETHAL
    grid.clear(SENSOR, np.array([[3.05, 0.05, 0.0]]))
    # The ray is 0.25 m high at three quarters of its 3 m.
    assert state(grid, 2.0, 0.05) == LETHAL
    assert state(grid, 2.4, 0.05) == FREE and state(grid, 3.05, 0.05) == FREE
    assert state(grid, 3.2, 0.05) == LETHAL and state(grid, 2.6, 0.25) == LETHAL


def test_clearing_is_that_of_a_naive_ray() -> None:
    rng = np.random.default_rng(1)
    ground = np.concatenate([rng.uniform(-3.5, 3.5, (300, 2)), np.zeros((300, 1))], axis=1)
    grid = RollingCostmap(8.0, 0.1)
    grid.clear(SENSOR, ground)
    naive = np.zeros(grid.states.shape, bool)
    for point in ground:
        for share in np.linspace(0.75, 1.0, 200):
            column, row = grid.cells((SENSOR + (point - SENSOR) * share)[np.newaxis])[0]
            naive[row, column] = True
    cleared = grid.states == FREE
    assert not (cleared & ~_grown(naive)).any(), "nothing beside the rays"
    assert (naive & cleared).sum() > 0.97 * naive.sum(), "only corners that a ray just touches"


def _grown(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    rows, columns = mask.shape
    return np.any([padded[i : i + rows, j : j + columns] for i in (0, 1, 2) for j in (0, 1, 2)], 0)


@pytest.mark.parametrize("to", [(0.73, -1.21), (-2.5, 0.05), (0.0, 0.0), (50.0, 0.0)])
def test_moving_keeps_places(to: tuple[float, float]) -> None:
    grid = RollingCostmap(6.0, 0.1)
    places = np.random.default_rng(2).uniform(-2.9, 2.9, (200, 3))
    grid.mark(places)
    grid.move_to(*to)
    columns, rows = grid.cells(places).T
    inside = (columns >= 0) & (columns < 60) & (rows >= 0) & (rows < 60)
    assert (grid.states[rows[inside], columns[inside]] == LETHAL).all()
    assert (grid.states == LETHAL).sum() == len(np.unique(grid.cells(places)[inside], axis=0))
    assert np.abs(grid.centres(np.array([[30, 30]]))[0] - to).max() <= 0.1


def test_marks_can_be_forgotten_and_a_disc_freed() -> None:
    grid = RollingCostmap(4.0, 0.1)
    grid.mark(np.array([[1.0, 1.0, 0.5]]))
    grid.free_disc(0.0, 0.0, 0.5)
    assert state(grid, 0.3, 0.3) == FREE and state(grid, 0.5, 0.3) == UNKNOWN
    grid.forget_marks()
    assert state(grid, 1.0, 1.0) == UNKNOWN


def test_inflation_is_that_of_a_naive_distance() -> None:
    states = np.full((20, 30), FREE, np.uint8)
    states[4, 5] = states[15, 22] = states[16, 22] = LETHAL
    states[:, 28] = UNKNOWN
    cost = inflated(states, 0.1, radius=0.3, soft=0.4, weight=4.0)
    marked = np.argwhere(states == LETHAL)
    for row in range(20):
        for column in range(30):
            distance = 0.1 * np.hypot(*(marked - (row, column)).T).min()
            base = 1.5 if states[row, column] == UNKNOWN else 1.0
            near = base + 4.0 * min(1.0, max(0.0, 1.0 - (distance - 0.3) / 0.4))
            assert cost[row, column] == pytest.approx(np.inf if distance < 0.3 else near)


def test_an_empty_map_costs_one_a_cell() -> None:
    assert (inflated(np.zeros((5, 5), np.uint8), 0.1, 0.3) == 1.0).all()


def test_states_of_points_are_those_of_their_cells_and_unknown_outside() -> None:
    grid = RollingCostmap(size=2.0, resolution=0.1)
    rng = np.random.default_rng(0)
    grid.states[:] = rng.choice([UNKNOWN, FREE, LETHAL], grid.states.shape)
    points = rng.uniform(-1.5, 1.5, (200, 2))
    for (column, row), state in zip(grid.cells(points), grid.states_at(points), strict=True):
        inside = 0 <= column < 20 and 0 <= row < 20
        assert state == (grid.states[row, column] if inside else UNKNOWN)
