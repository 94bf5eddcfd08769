# SPDX-License-Identifier: Apache-2.0
"""Masks, boxes and points as cells of a grid, against a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.segmentation.examples.regions import region_cells

SIZE, GRID, EXTENT = (20, 30), (4, 5), (3.5, 5.0)


def naive(mask: np.ndarray) -> np.ndarray:
    """Share of each cell that a mask covers."""
    inside, total = np.zeros(GRID), np.zeros(GRID)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            cell = int((y + 0.5) * EXTENT[0] / SIZE[0]), int((x + 0.5) * EXTENT[1] / SIZE[1])
            total[cell] += 1
            inside[cell] += mask[y, x]
    return inside / np.maximum(total, 1)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.9))
def test_a_mask_is_the_cells_that_it_covers(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(SIZE) < share
    if not mask.any():
        return
    covered = naive(mask)
    expected = covered >= min(0.5, covered.max())
    for given_mask in (mask, mask.astype(np.uint8) * 255):
        (cells,) = region_cells(given_mask, SIZE, GRID, EXTENT)
        assert np.array_equal(cells, expected) and cells.any()


def test_a_box_is_the_mask_of_its_pixels() -> None:
    mask = np.zeros(SIZE, bool)
    mask[3:15, 6:25] = True
    assert np.array_equal(
        region_cells((6, 3, 25, 15), SIZE, GRID, EXTENT),
        region_cells(mask, SIZE, GRID, EXTENT),
    )
    clipped = region_cells((-50, -50, 6, 6), SIZE, GRID, EXTENT)
    assert np.argwhere(clipped[0]).tolist() == [[0, 0]]
    thin = region_cells((6.1, 0.1, 6.2, 0.2), SIZE, GRID, EXTENT)
    assert np.argwhere(thin[0]).tolist() == [[0, 1]]


def test_each_point_is_an_example() -> None:
    found = region_cells([(0, 0), (29.9, 19.9)], SIZE, GRID, EXTENT)
    assert [np.argwhere(cells).tolist() for cells in found] == [[[0, 0]], [[3, 4]]]


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (np.zeros(SIZE, bool), "mask is empty"),
        (np.ones((3, 3), bool), "shape"),
        ((30, 0, 40, 5), "outside the picture"),
        ((5, 5, 5, 9), "box is empty"),
        ((9, 5, 3, 9), "box is empty"),
        ((0, 0, np.nan, 5), "NaN"),
        ([(np.inf, 1)], "NaN or infinity"),
        ([(30, 1)], "outside the picture"),
        ([(-1, 1)], "outside the picture"),
        ([(1, 1)] * 10_000, "at most 64"),
        ([], "shape"),
        ([(1, 1), (1, 2, 3)], "no array of numbers"),
        ("box", "no array of numbers"),
        (None, "no array of numbers"),
        (5, "shape"),
    ],
)
def test_what_is_no_region_is_refused_with_advice(region: object, says: str) -> None:
    with pytest.raises(ExampleError, match=says):
        region_cells(region, SIZE, GRID, EXTENT)  # type: ignore[arg-type]
