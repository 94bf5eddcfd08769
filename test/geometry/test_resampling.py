# SPDX-License-Identifier: Apache-2.0
"""Reading an image at another one's pixels, against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.geometry.resampling import nearest_grid, present_ids, same_view

SIZES = st.tuples(st.integers(1, 17), st.integers(1, 17))


@given(SIZES, SIZES, st.integers(1, 4), st.booleans())
@settings(max_examples=100, deadline=None)
def test_each_pixel_is_the_nearest(
    source: tuple[int, int], target: tuple[int, int], step: int, colours: bool
) -> None:
    shape = (*source, 3) if colours else source
    image = np.arange(np.prod(shape)).reshape(shape)
    found = nearest_grid(image, target, step)
    for i, row in enumerate(range(0, target[0], step)):
        for j, column in enumerate(range(0, target[1], step)):
            # The pixel in whose area the centre of the grid's pixel lies.
            y = int((row + 0.5) * source[0] / target[0])
            x = int((column + 0.5) * source[1] / target[1])
            assert (found[i, j] == image[y, x]).all()
    assert found.shape[:2] == (-(-target[0] // step), -(-target[1] // step))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_present_ids_are_all_that_occur(kind: type) -> None:
    most = np.iinfo(kind).max
    labels = np.array([[0, 3, most], [3, 3, 17]], kind)
    assert present_ids(labels) == {0, 3, 17, most}


def test_its_own_grid_costs_nothing() -> None:
    image = np.zeros((6, 8))
    assert np.shares_memory(nearest_grid(image, (6, 8), 2), image)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ((480, 640), (240, 320), True),
        ((720, 1280), (360, 640), True),
        ((1080, 1920), (540, 964), True),
        ((480, 640), (720, 1280), False),
        ((480, 640), (640, 480), False),
    ],
)
def test_views_are_told_by_their_aspect(a: tuple[int, int], b: tuple[int, int], same: bool) -> None:
    assert same_view(a, b) is same
