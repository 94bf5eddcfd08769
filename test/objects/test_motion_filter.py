# SPDX-License-Identifier: Apache-2.0
"""The filter of independent coordinates against matrices; the assignment against all of them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.objects.association import assign, overlap
from dinoiser_ros.objects.motion_filter import MotionFilter


class NaiveFilter:
    """One coordinate, by the textbook's matrices."""

    def __init__(self, value: float, error: float, speed: float) -> None:
        self.x = np.array([value, 0.0])
        self.p = np.diag([error**2, speed**2])

    def predict(self, dt: float, acceleration: float) -> None:
        f = np.array([[1, dt], [0, 1]])
        q = acceleration**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        self.x, self.p = f @ self.x, f @ self.p @ f.T + q

    def update(self, value: float, error: float) -> None:
        h = np.array([[1.0, 0.0]])
        gain = self.p @ h.T / (h @ self.p @ h.T + error**2)
        self.x = self.x + gain[:, 0] * (value - self.x[0])
        self.p = (np.eye(2) - gain @ h) @ self.p


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_each_coordinate_is_filtered_as_by_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, error, speed = rng.normal(size=3), rng.uniform(0.1, 2, 3), rng.uniform(0.1, 2, 3)
    fast = MotionFilter(first, error, speed)
    naive = [NaiveFilter(*values) for values in zip(first, error, speed, strict=True)]
    for _ in range(8):
        seconds, acceleration = rng.uniform(0, 1), rng.uniform(0, 3, 3)
        fast.predict(seconds, acceleration)
        measured, error = rng.normal(size=3), rng.uniform(0.1, 2, 3)
        measured[rng.random(3) < 0.3] = np.nan
        fast.update(measured, error)
        for index, one in enumerate(naive):
            one.predict(seconds, acceleration[index])
            if np.isfinite(measured[index]):
                one.update(measured[index], error[index])
            np.testing.assert_allclose([fast.value[index], fast.rate[index]], one.x, atol=1e-9)
            np.testing.assert_allclose(fast.error[index], np.sqrt(one.p[0, 0]), atol=1e-9)


def test_a_coordinate_that_comes_later_starts_then() -> None:
    ones = np.ones(2)
    late = MotionFilter(np.array([1.0, np.nan]), ones, ones)
    late.predict(1.0, ones)
    assert np.isnan(late.value[1])
    late.update(np.array([2.0, 7.0]), ones * 0.1)
    assert late.value[1] == 7.0 and late.rate[1] == 0.0
    np.testing.assert_allclose(late.error[1], 0.1)
    late.predict(0.1, ones)
    late.update(np.array([np.nan, 7.5]), ones * 0.1)
    assert 7.0 < late.value[1] < 7.5 and np.isfinite(late.value).all()


@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_the_assignment_has_most_pairs_and_of_those_the_least_cost(
    seed: int, rows: int, columns: int
) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.random((rows, columns))
    cost[rng.random(cost.shape) < 0.4] = np.inf
    found = assign(cost)
    best = (0, 0.0)
    for count in range(1, min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), count):
            for order in itertools.permutations(range(columns), count):
                total = sum(cost[row, column] for row, column in zip(chosen, order, strict=True))
                if np.isfinite(total):
                    best = min(best, (-count, total))
    assert -len(found) == best[0]
    assert np.isclose(sum(cost[pair] for pair in found), best[1])


def test_overlap_is_that_of_counted_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (6, 4))
    boxes = []
    for x, y, width, height in corners.tolist():
        boxes.append([x + (width + 1) / 2, y + (height + 1) / 2, width + 1, height + 1])
    found = overlap(np.array(boxes, float), np.array(boxes, float))
    masks = np.zeros((6, 30, 30), bool)
    for mask, (x, y, width, height) in zip(masks, corners.tolist(), strict=True):
        mask[y : y + height + 1, x : x + width + 1] = True
    for a, b in np.ndindex(6, 6):
        naive = (masks[a] & masks[b]).sum() / (masks[a] | masks[b]).sum()
        np.testing.assert_allclose(found[a, b], naive)
