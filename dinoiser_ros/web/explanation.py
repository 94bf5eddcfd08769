# SPDX-License-Identifier: Apache-2.0
"""What class probabilities tell people: the runners-up at a point, and which prompts are confused.

Functions of a `ProbabilityGrid`.
"""

from __future__ import annotations

import numpy as np

from .backend import ProbabilityGrid

MOST_PAIRS = 8  # of confused prompts that are named
LEAST_MASS = 0.05  # mean probability of a runner-up that is worth naming
LEAST_AREA = 0.005  # of the picture; of a smaller class nothing is said


def ranking(grid: ProbabilityGrid, x: float, y: float, most: int = 4) -> list[tuple[str, float]]:
    """The most probable classes at a point, with their probabilities, the first one first.

    Args:
        x, y: position in the picture, 0 to 1 from its left and its upper edge.
        most: how many classes.
    """
    _, rows, columns = grid.values.shape
    column = min(max(int(x * columns), 0), columns - 1)
    row = min(max(int(y * rows), 0), rows - 1)
    here = grid.values[:, row, column]
    return [
        (grid.class_names[index], round(float(here[index]), 4))
        for index in np.argsort(-here, kind="stable")[:most].tolist()
    ]


def confused(grid: ProbabilityGrid) -> list[tuple[str, str, float, float]]:
    """Pairs of prompts that compete for the same places, those that compete most first.

    For each class: the class that has the most probability, after itself, where it wins, and how
    much that is on average.

    Returns:
        Name of the winner, name of its runner-up, the runner-up's mean probability there, and the
        share of the picture that the winner has.
    """
    count = len(grid.class_names)
    flat = grid.values.reshape(count, -1)
    winner = flat.argmax(axis=0)
    found = []
    for index in np.unique(winner).tolist():
        mine = winner == index
        area = float(mine.mean())
        if area < LEAST_AREA or count < 2:
            continue
        mass = flat[:, mine].mean(axis=1)
        mass[index] = -1.0
        second = int(mass.argmax())
        if mass[second] >= LEAST_MASS:
            found.append((index, second, float(mass[second]), area))
    found.sort(key=lambda pair: -pair[2])
    names = grid.class_names
    return [
        (names[first], names[second], round(mass, 4), round(area, 4))
        for first, second, mass, area in found[:MOST_PAIRS]
    ]


def heat_map(grid: ProbabilityGrid, class_id: int) -> list[list[int]]:
    """One class's probabilities as rows of whole numbers, 0 to 255.

    Args:
        class_id: position in `grid.class_names`.
    """
    rows: list[list[int]] = np.rint(grid.values[class_id] * 255).astype(int).tolist()
    return rows
