# SPDX-License-Identifier: Apache-2.0
"""Optical flow and displacement fields: against known motion and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moving_pictures import texture, window

from dinoiser_ros.temporal.motion_track import FlowStep, MotionTrack, flow_step
from dinoiser_ros.temporal.optical_flow import (
    LONGER_SIDE,
    DenseFlow,
    compose,
    flow_picture,
    flow_size,
    forward_backward_error,
    look_up,
)


def naive_look_up(values: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Bilinear interpolation, pixel by pixel, places clamped to the picture."""
    height, width = field.shape[:2]
    result = np.zeros_like(values)
    for y in range(height):
        for x in range(width):
            px = min(max(x + float(field[y, x, 0]), 0.0), width - 1.0)
            py = min(max(y + float(field[y, x, 1]), 0.0), height - 1.0)
            left, top = int(px), int(py)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            a, b = px - left, py - top
            upper = (1 - a) * values[top, left] + a * values[top, right]
            lower = (1 - a) * values[bottom, left] + a * values[bottom, right]
            result[y, x] = (1 - b) * upper + b * lower
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 9), st.integers(3, 9), st.integers(0, 99), st.booleans())
def test_look_up_is_bilinear_with_repeated_edges(
    height: int, width: int, seed: int, two: bool
) -> None:
    random = np.random.default_rng(seed)
    shape = (height, width, 2) if two else (height, width)
    values = random.random(shape).astype(np.float32)
    field = random.uniform(-4, 4, (height, width, 2)).astype(np.float32)
    # OpenCV interpolates in steps of 1 / 32 pixel.
    np.testing.assert_allclose(look_up(values, field), naive_look_up(values, field), atol=0.05)


@pytest.mark.parametrize(
    ("size", "small"),
    [((480, 640), (240, 320)), ((96, 128), (96, 128)), ((48, 64), (72, 96))],
)
def test_flow_is_measured_at_a_low_resolution(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    assert flow_size(*size) == small
    assert flow_picture(np.zeros((*size, 3), np.uint8)).shape == small


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_any_picture_has_a_size_that_flow_can_be_measured_at(height: int, width: int) -> None:
    small = flow_size(height, width)
    assert min(small) >= 32 and LONGER_SIDE[0] <= max(small) <= LONGER_SIDE[1]


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 300), (300, 1), (7, 5), (16, 16), (17, 320), (2000, 20)]
)
def test_odd_pictures_have_a_flow(size: tuple[int, int]) -> None:
    """Without `LEAST_SIDE` OpenCV 5.0 crashes on some of them, and the process with it."""
    picture = flow_picture(np.full((*size, 3), 90, np.uint8))
    step = flow_step(DenseFlow(), picture, picture)
    assert np.isfinite(step.back).all() and step.similarity == 1.0


@pytest.mark.parametrize("motion", [(0, 0), (3, 0), (-2, 4), (6, -5)])
def test_a_known_motion_is_found(motion: tuple[int, int]) -> None:
    older, newer = window(texture(0), (0, 0)), window(texture(0), motion)
    step = flow_step(DenseFlow(), older, newer)
    inner = step.back[16:-16, 16:-16]
    assert np.abs(inner - motion).mean() < 0.25
    assert step.similarity > 0.8


def test_pictures_of_different_places_do_not_match() -> None:
    step = flow_step(DenseFlow(), window(texture(0), (0, 0)), window(texture(1), (0, 0)))
    assert step.similarity < 0.4


def test_a_lens_that_is_covered_is_another_picture() -> None:
    view, dark = window(texture(0), (0, 0)), np.zeros((120, 160), np.uint8)
    assert flow_step(DenseFlow(), view, dark).similarity == 0.0
    assert flow_step(DenseFlow(), dark, dark).similarity == 1.0


def test_going_there_and_back_ends_where_it_started() -> None:
    there = np.full((20, 30, 2), (2.0, -1.0), np.float32)
    assert forward_backward_error(there, -there).max() < 1e-5
    assert forward_backward_error(there, there).max() == pytest.approx(np.hypot(4, 2), abs=1e-4)


def test_beyond_the_edge_a_motion_goes_on_alike() -> None:
    field = np.full((20, 30, 2), (7.0, 0.0), np.float32)
    total = field
    for _ in range(4):
        total = compose(field, total)
    np.testing.assert_allclose(total[..., 0], 35.0, atol=1e-4)


def test_a_track_adds_up_steps_and_their_errors() -> None:
    track = MotionTrack((20, 30))
    errors = (0.5, 1.0, 2.0)
    for error in errors:
        back = np.full((20, 30, 2), (1.0, 0.5), np.float32)
        track.extend(FlowStep(back, np.full((20, 30), error, np.float32)))
    np.testing.assert_allclose(track.field, np.broadcast_to((3.0, 1.5), (20, 30, 2)), atol=1e-4)
    np.testing.assert_allclose(track.error, np.hypot(np.hypot(0.5, 1.0), 2.0), rtol=1e-4)


def test_a_copy_of_a_track_goes_its_own_way() -> None:
    track = MotionTrack((20, 30))
    other = track.copy()
    other.extend(FlowStep(np.ones((20, 30, 2), np.float32), np.ones((20, 30), np.float32)))
    assert not track.field.any() and not track.error.any()
