# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a class are trusted: scenes made by hand, and the rule written out naively."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.geometry.surfaces import Surfaces

WALL = 4.0


def trusted(
    labels: np.ndarray, depth: np.ndarray, radius: int = 3, edge: float = 0.03
) -> np.ndarray:
    """Of class 1."""
    surfaces, mask = Surfaces(), np.zeros(labels.shape, bool)
    surfaces.measure(depth.astype(np.float32), radius, edge)
    surfaces.add_trusted(labels, 1, mask)
    return mask


def naive(labels: np.ndarray, depth: np.ndarray, radius: int, edge: float) -> np.ndarray:
    """The same, pixel by pixel: nothing near may be clearly nearer, nor of another class and not
    clearly farther."""
    far = np.float32(1e6)
    near = np.where(np.isfinite(depth), depth, far).astype(np.float32)
    height, width = depth.shape
    mask = np.zeros(depth.shape, bool)
    for v in range(height):
        for u in range(width):
            z = near[v, u]
            if labels[v, u] != 1 or z >= far:
                continue
            slope = np.float32(0)
            for sides in (((v - 1, u), (v + 1, u)), ((v, u - 1), (v, u + 1))):
                inside = [near[p] for p in sides if 0 <= p[0] < height and 0 <= p[1] < width]
                steps = [abs(other - z) for other in inside]
                if steps and min(steps) <= 5e5:
                    slope += min(steps)
            tolerance = slope * np.float32(radius) + z * np.float32(edge)
            rows = slice(max(v - radius, 0), v + radius + 1)
            columns = slice(max(u - radius, 0), u + radius + 1)
            window, others = near[rows, columns], labels[rows, columns] != 1
            good = radius == 0 or window.min() >= z - tolerance
            if radius and others.any():
                good = good and window[others].min() > z + tolerance
            mask[v, u] = good
    return mask


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 4), st.sampled_from([0.0, 0.03]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_the_rule_is_the_naive_one(
    height: int, width: int, radius: int, edge: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (height, width)).astype(np.uint8)
    # Quarters are exact in float32: no comparison is decided by rounding.
    depth = (rng.integers(4, 20, (height, width)) / 4).astype(np.float32)
    depth[rng.random((height, width)) < 0.2] = np.nan
    np.testing.assert_array_equal(
        trusted(labels, depth, radius, edge), naive(labels, depth, radius, edge)
    )


def scene(left: int = 20, right: int = 30, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A board in front of a wall: where it is, and the depth."""
    where = np.zeros((40, 60), bool)
    where[8:32, left:right] = True
    return where, np.where(where, distance, WALL)


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    padded = np.pad(mask, by)
    shifts = range(-by, by + 1)
    return np.any([np.roll(padded, (dy, dx), (0, 1)) for dy in shifts for dx in shifts], axis=0)[
        by:-by, by:-by
    ]


@pytest.mark.parametrize("fringe", [0, 1, 3])
def test_an_object_stays_and_its_fringe_on_the_wall_goes(fringe: int) -> None:
    where, depth = scene()
    mask = grown(where, fringe) if fringe else where
    found = trusted(mask.astype(np.uint8), depth)
    np.testing.assert_array_equal(found, where)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_thin_pole_stays(width: int) -> None:
    where, depth = scene(20, 20 + width)
    found = trusted(grown(where, 2).astype(np.uint8), depth)
    np.testing.assert_array_equal(found, where)


def test_a_fringe_between_two_legs_goes() -> None:
    """The wall seen through a gap that the mask closes is behind an edge."""
    legs = scene(20, 24)[0] | scene(28, 32)[0]
    closed = legs | scene(24, 28)[0]
    found = trusted(closed.astype(np.uint8), np.where(legs, 2.0, WALL))
    np.testing.assert_array_equal(found, legs)


def test_a_mask_on_the_object_in_front_goes() -> None:
    """A class behind another object, whose mask reaches over onto that object."""
    front, depth = scene()
    labels = np.where(front, 2, 0).astype(np.uint8)
    labels[8:32, 28:50] = 1  # two columns of it are on the front object
    found = trusted(labels, depth)
    assert not found[front].any()
    assert found[15:25, 34:46].all()


def test_a_border_within_a_surface_is_left_out() -> None:
    """A spot on a wall, or feet on a floor: nothing says on which side of the border a pixel is."""
    spot, _ = scene()
    found = trusted(spot.astype(np.uint8), np.full(spot.shape, WALL))
    assert found[11:29, 23:27].all() and found.sum() == 18 * 4


def test_a_floor_seen_at_a_flat_angle_has_no_edges() -> None:
    rows = np.arange(60, dtype=np.float64)[:, np.newaxis] + 5
    depth = np.broadcast_to(120.0 / rows, (60, 80))  # steps of 4 m at the horizon, 3 cm below
    found = trusted(np.ones((60, 80), np.uint8), depth)
    assert found[2:].all()


def test_holes_have_no_points_and_are_no_edges() -> None:
    depth = np.full((20, 20), 2.0)
    depth[5:8, 5:8] = np.nan
    found = trusted(np.ones((20, 20), np.uint8), depth)
    np.testing.assert_array_equal(found, np.isfinite(depth))


def test_without_radius_only_the_depth_counts() -> None:
    where, depth = scene()
    depth[10, 22] = np.nan
    found = trusted(grown(where, 2).astype(np.uint8), depth, radius=0)
    np.testing.assert_array_equal(found, grown(where, 2) & np.isfinite(depth))


def test_images_of_other_sizes_may_follow() -> None:
    surfaces = Surfaces()
    for size in ((4, 6), (9, 3), (4, 6)):
        surfaces.measure(np.full(size, 2.0, np.float32), 2, 0.03)
        mask = np.zeros(size, bool)
        surfaces.add_trusted(np.full(size, 7, np.uint8), 7, mask)
        assert mask.all()
        surfaces.add_trusted(np.zeros(size, np.uint8), 7, mask)  # a class that is not there
