# SPDX-License-Identifier: Apache-2.0
"""How long ago the network looked where."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.temporal.coverage import UNSEEN, Coverage
from dinoiser_ros.temporal.motion_track import FlowStep
from dinoiser_ros.temporal.windows import Window

SHAPE, SIZE = (24, 32), (48, 64)


def moved(pixels: float) -> FlowStep:
    """What is at x now was at x + `pixels` in the picture before: a turn to the right."""
    back = np.zeros((*SHAPE, 2), np.float32)
    back[..., 0] = pixels
    return FlowStep(back, np.zeros(SHAPE, np.float32))


@pytest.fixture
def coverage() -> Coverage:
    """A whole picture was looked at just now."""
    coverage = Coverage()
    coverage.look(SHAPE, SIZE, None, 0.0, None)
    return coverage


def columns(coverage: Coverage) -> np.ndarray:
    """Seconds, by column."""
    urgency = coverage.urgency(SIZE, None)
    assert urgency is not None and urgency.size == SIZE
    return urgency.values / SHAPE[0]


def test_nothing_is_known_before_a_whole_picture_and_after_a_reset(coverage: Coverage) -> None:
    new = Coverage()
    new.look(SHAPE, SIZE, Window(0, 0, 48, 16), 0.0, None)
    new.extend(moved(1.0), 0.1)
    assert not new.known and new.urgency(SIZE, None) is None
    assert coverage.known
    coverage.reset()
    assert not coverage.known and coverage.urgency(SIZE, None) is None


def test_ages_grow_and_what_comes_into_view_was_never_seen(coverage: Coverage) -> None:
    coverage.extend(moved(4.0), 0.5)
    np.testing.assert_allclose(columns(coverage)[:28], 0.5)
    np.testing.assert_allclose(columns(coverage)[28:], UNSEEN)
    coverage.extend(moved(0.0), 0.5)
    np.testing.assert_allclose(columns(coverage)[:28], 1.0)
    np.testing.assert_allclose(columns(coverage)[28:], UNSEEN + 0.5)


def test_a_window_is_as_old_as_its_picture(coverage: Coverage) -> None:
    coverage.extend(moved(0.0), 1.0)
    coverage.look(SHAPE, SIZE, Window(0, 16, 48, 32), 0.25, None)
    expected = np.ones(32)
    expected[8:24] = 0.25
    np.testing.assert_allclose(columns(coverage), expected)


def test_a_window_of_an_older_picture_has_moved(coverage: Coverage) -> None:
    coverage.extend(moved(4.0), 1.0)
    coverage.look(SHAPE, SIZE, Window(0, 32, 48, 32), 1.0, moved(4.0).back)
    ages = columns(coverage)
    np.testing.assert_allclose(ages[12:28], 1.0)
    np.testing.assert_allclose(ages[28:], UNSEEN)  # not in that picture either
    coverage.look(SHAPE, SIZE, None, 0.5, moved(4.0).back)
    np.testing.assert_allclose(columns(coverage)[:28], 0.5)
    np.testing.assert_allclose(columns(coverage)[28:], UNSEEN)


def test_contours_attract(coverage: Coverage) -> None:
    coverage.extend(moved(0.0), 1.0)
    contours = np.full(SHAPE, 100.0, np.float32)
    contours[:, 5] = 0.0
    urgency = coverage.urgency(SIZE, contours)
    assert urgency is not None and urgency.values.argmax() == 5


@pytest.mark.parametrize(("shape", "size"), [((32, 24), (64, 48)), ((32, 32), (64, 63))])
def test_a_portrait_has_rows(shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Also where that cannot be seen at the flow's resolution."""
    coverage = Coverage()
    coverage.look(shape, size, None, 0.0, None)
    coverage.look(shape, size, Window(0, 0, 16, size[1]), 1.0, None)
    urgency = coverage.urgency(size, None)
    assert urgency is not None
    np.testing.assert_allclose(urgency.values / shape[1], np.repeat([1.0, 0.0], [8, 24]))
