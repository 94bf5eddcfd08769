# SPDX-License-Identifier: Apache-2.0
"""Instances against a flood fill that goes from pixel to pixel."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.objects.depth_jumps import filled, jumps
from dinoiser_ros.objects.instances import MOST, find_instances

STUFF, A, B = 0, 1, 2


def naive_jump(depth: np.ndarray, p: tuple[int, int], q: tuple[int, int], least: float) -> bool:
    """Whether depth jumps from a pixel to the next one, below it or to its right."""
    way = (q[0] - p[0], q[1] - p[1])

    def step(offset: int) -> float | None:
        a, b = ((place[0] + offset * way[0], place[1] + offset * way[1]) for place in (p, q))
        inside = all(
            0 <= c < n for place in (a, b) for c, n in zip(place, depth.shape, strict=True)
        )
        return 1 / depth[b] - 1 / depth[a] if inside else None

    own, others = step(0), [step(-2), step(2)]
    surprises = [abs(own), *(abs(own - other) for other in others if other is not None)]
    return min(surprises) > least / (depth[p] * depth[q])


def naive_parts(
    labels: np.ndarray, ids: set[int], depth: np.ndarray | None, least: float
) -> np.ndarray:
    """Number the parts by flooding; those that a jump separates are not joined again."""
    numbers = np.zeros(labels.shape, int)
    for start in np.ndindex(labels.shape):
        if numbers[start] or int(labels[start]) not in ids:
            continue
        number = numbers.max() + 1
        numbers[start] = number
        queue = deque([start])
        while queue:
            y, x = queue.popleft()
            for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if not all(0 <= c < n for c, n in zip(place, labels.shape, strict=True)):
                    continue
                if numbers[place] or labels[place] != labels[y, x]:
                    continue
                first, second = sorted([(y, x), place])
                if depth is not None and naive_jump(depth, first, second, least):
                    continue
                numbers[place] = number
                queue.append(place)
    return numbers


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_parts_are_those_of_a_flood_fill(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (height, width)).astype(rng.choice([np.uint8, np.uint16]))
    confidence = rng.random(labels.shape).astype(np.float32)
    found = find_instances(labels, confidence, [A, B], 1)
    naive = naive_parts(labels, {A, B}, None, 0)
    assert same_partition(found.mask, naive)
    for one in found.objects:
        own = found.mask == one.value
        rows, columns = np.nonzero(own)
        assert one.pixel_count == own.sum() and set(labels[own]) == {one.class_id}
        assert (one.x, one.y) == (columns.min(), rows.min())
        assert (one.width, one.height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert one.confidence == pytest.approx(confidence[own].mean(), abs=1e-5)
    sizes = [one.pixel_count for one in found.objects]
    assert sizes == sorted(sizes, reverse=True)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_parts_end_at_jumps_as_in_a_flood_fill(seed: int) -> None:
    """Two flat levels 3 m apart: no part reaches over both, so none is joined again."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (10, 12)).astype(np.uint8)
    far = np.zeros(labels.shape, bool)
    top, left = rng.integers(0, 6, 2)
    far[top : top + rng.integers(3, 7), left : left + rng.integers(3, 7)] = True
    depth = np.where(far, 5.0, 2.0).astype(np.float32)
    naive = naive_parts(labels, {A}, depth, 0.5)
    found = find_instances(labels, np.ones(labels.shape, np.float32), [A], 1, depth, 0.5)
    assert same_partition(found.mask, naive)


@given(st.integers(0, 10**6), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_jumps_are_those_of_a_naive_look_at_each_pair(seed: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 6.0, rng.integers(1, 8, 2)).astype(np.float32).astype(np.float64)
    found = jumps(1 / depth, axis, 1.0)
    for place in np.ndindex(found.shape):
        beside = (place[0] + 1, place[1]) if axis == 0 else (place[0], place[1] + 1)
        assert found[place] == naive_jump(depth, place, beside, 1.0)


def test_a_slanted_plane_has_no_jumps_and_one_mixed_pixel_hides_none() -> None:
    rows = np.arange(40, dtype=np.float32)
    floor = np.tile((100 / (rows + 5))[:, np.newaxis], (1, 6))  # 20 m to 2 m, 3 m from row to row
    assert not jumps(1 / floor, 0, 0.1).any()
    edge = np.array([[2, 2, 2, 2, 3, 4, 4, 4, 4]], np.float32)
    assert jumps(1 / edge, 1, 0.5).ravel().tolist() == [False] * 3 + [True] * 2 + [False] * 3
    pole = np.array([[4, 4, 4, 2, 2, 2, 4, 4, 4]], np.float32)
    assert (
        jumps(1 / pole, 1, 0.5).ravel().tolist()
        == [False] * 2 + [True] + [False] * 2 + [True] + [False] * 2
    )


def test_holes_take_the_depth_of_the_nearest_pixel() -> None:
    depth = np.full((5, 9), 2.0, np.float32)
    depth[:, 5:] = 4.0
    holed = depth.copy()
    holed[:, [1, 3, 6]] = np.nan
    holed[2, 6:] = np.nan
    np.testing.assert_array_equal(filled(holed), depth)
    assert np.isnan(filled(np.full((3, 3), np.nan, np.float32))).all()


def people(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Two of a class, one behind the other, and the depth."""
    labels = np.zeros((20, 40), np.uint8)
    labels[5:15, 10:30] = A
    depth = np.full(labels.shape, 6.0, np.float32)
    depth[5:15, 10:20], depth[5:15, 20:30] = 2.0, 2.0 + gap
    return labels, depth


@pytest.mark.parametrize(("gap", "count"), [(0.2, 1), (0.6, 2)])
def test_two_that_touch_are_told_apart_by_depth(gap: float, count: int) -> None:
    labels, depth = people(gap)
    sure = np.ones(labels.shape, np.float32)
    assert len(find_instances(labels, sure, [A], 5, depth, 0.4).objects) == count
    assert len(find_instances(labels, sure, [A], 5).objects) == 1
    depth[:, 18:22] = np.nan  # as stereo has it beside an edge
    assert len(find_instances(labels, sure, [A], 5, depth, 0.4).objects) == count
    assert len(find_instances(labels, sure, [A], 5, np.full_like(depth, np.nan), 0.4).objects) == 1


def test_a_leg_behind_a_leg_is_one_table() -> None:
    """Its top reaches from the depth of the front leg to that of the one behind."""
    labels = np.zeros((40, 60), np.uint8)
    depth = np.full(labels.shape, 8.0, np.float32)
    labels[5:15, 5:55] = A
    depth[5:15, 5:55] = np.linspace(2.8, 2.0, 10)[:, np.newaxis]
    for left, distance in ((8, 2.0), (12, 2.8)):
        labels[15:35, left : left + 4] = A
        depth[15:35, left : left + 4] = distance
    found = find_instances(labels, np.ones(labels.shape, np.float32), [A], 5, depth, 0.4)
    assert [one.pixel_count for one in found.objects] == [660]


def test_a_fringe_on_the_wall_behind_is_no_part_of_the_object() -> None:
    labels, depth = people(0.0)
    labels[5:15, 8:10] = A
    found = find_instances(labels, np.ones(labels.shape, np.float32), [A], 25, depth, 0.4)
    assert [(one.x, one.width) for one in found.objects] == [(10, 20)]


def test_of_thousands_of_parts_the_largest_are_kept() -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[::2, ::2] = A
    labels[100:104, 100:104] = B
    found = find_instances(labels, np.ones(labels.shape, np.float32), [A, B], 0)
    assert len(found.objects) == MOST and found.objects[0].class_id == B
    assert found.mask.max() == MOST
    depth = np.random.default_rng(0).uniform(0.5, 9, labels.shape).astype(np.float32)
    labels[:] = A
    crumbs = find_instances(labels, np.ones(labels.shape, np.float32), [A], 1, depth, 0.1)
    assert 1 <= len(crumbs.objects) <= MOST


def test_unsure_objects_are_left_out_and_the_others_numbered() -> None:
    labels, _ = people(0.0)
    labels[0:4, 0:4] = B
    labels[16:20, 0:2] = B
    confidence = np.where(labels == A, 0.3, 0.8).astype(np.float32)
    found = find_instances(labels, confidence, [A, B], 1, min_confidence=0.5)
    assert [(one.value, one.pixel_count) for one in found.objects] == [(1, 16), (2, 8)]
    np.testing.assert_array_equal(found.mask > 0, labels == B)


def test_no_class_and_an_unlabelled_picture_have_no_objects() -> None:
    sure = np.ones((4, 4), np.float32)
    for labels, ids in ((np.ones((4, 4), np.uint8), []), (np.full((4, 4), 255, np.uint8), [A])):
        found = find_instances(labels, sure, ids, 1)
        assert found.objects == () and not found.mask.any()
