# SPDX-License-Identifier: Apache-2.0
"""The cheapest path through a grid of costs: Dijkstra's algorithm, of SciPy."""

from __future__ import annotations

import numpy as np

# (columns, rows) to half of the neighbours; the other half are their ways back.
_STEPS = ((1, 0), (0, 1), (1, 1), (-1, 1))


def cheapest_path(
    cost: np.ndarray, start: tuple[int, int], goal: tuple[int, int]
) -> tuple[np.ndarray, bool]:
    """A path to a goal, or to the cell nearest to it that can be reached.

    A step costs its length in cells times the mean cost of its two cells. A diagonal step needs
    both cells beside it.

    Args:
        cost: (rows, columns) at least 1, infinite for cells that must not be entered. The start
            may be one of those.
        start, goal: (column, row).

    Returns:
        (N, 2) columns and rows from the start on, and whether the path ends at the goal.
    """
    from scipy.sparse.csgraph import dijkstra

    rows, columns = cost.shape
    number = rows * columns
    source, target = start[1] * columns + start[0], goal[1] * columns + goal[0]
    lengths, before = dijkstra(
        _graph(cost, start), directed=False, indices=source, return_predecessors=True
    )
    end = target
    if not np.isfinite(lengths[target]):
        places = np.arange(number)
        away = np.hypot(places % columns - goal[0], places // columns - goal[1])
        end = int(np.where(np.isfinite(lengths), away, np.inf).argmin())
    path = [end]
    while path[-1] != source:
        path.append(int(before[path[-1]]))
    cells = np.array(path[::-1])
    return np.stack([cells % columns, cells // columns], axis=1), end == target


def _graph(cost: np.ndarray, start: tuple[int, int]) -> object:
    """The steps between neighbours as a sparse matrix, (cells, cells)."""
    from scipy.sparse import csr_matrix

    # A robot that is already too near to something has to get away.
    cost = cost.copy()
    near = cost[max(start[1] - 1, 0) : start[1] + 2, max(start[0] - 1, 0) : start[0] + 2]
    near[~np.isfinite(near)] = 100.0
    numbers = np.arange(cost.size).reshape(cost.shape)
    heads, tails, weights = [], [], []
    for right, up in _STEPS:
        one, other = _pairs(cost.shape, right, up)
        a, b = cost[one], cost[other]
        weight = np.hypot(right, up) * (a + b) / 2
        if right and up:
            aside = _pairs(cost.shape, right, up, True)
            weight = weight + np.where(np.isfinite(cost[aside[0]] + cost[aside[1]]), 0.0, np.inf)
        usable = np.isfinite(weight)
        heads.append(numbers[one][usable])
        tails.append(numbers[other][usable])
        weights.append(weight[usable])
    ends = (np.concatenate(heads), np.concatenate(tails))
    return csr_matrix((np.concatenate(weights), ends), shape=(cost.size, cost.size))


_Place = tuple[slice, slice]


def _pairs(
    shape: tuple[int, ...], right: int, up: int, aside: bool = False
) -> tuple[_Place, _Place]:
    """Indices of the cells from which a step leads and to which; aside: of those beside it."""
    rows, columns = shape
    first = slice(max(0, -right), columns - max(0, right))
    second = slice(max(0, right), columns + min(0, right))
    low, high = slice(0, rows - up), slice(up, rows)
    return ((low, second), (high, first)) if aside else ((low, first), (high, second))


def path_length(path: np.ndarray) -> float:
    """Length of a path, (N, 2), in the unit of its points."""
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
