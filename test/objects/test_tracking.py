# SPDX-License-Identifier: Apache-2.0
"""Numbers stay with their objects: through hiding, crossing, turns of the camera, bad clocks."""

from __future__ import annotations

import numpy as np
import pytest

from dinoiser_ros.objects.tracking import _MOST_MISSES, MOST_TRACKS, Observation, Tracker

STEP = 0.1


def at(
    x: float, y: float = 200.0, name: str = "person", z: float | None = None, size: float = 60.0
) -> Observation:
    point = None if z is None else np.array([(x - 320) / 500 * z, (y - 240) / 500 * z, z])
    return Observation(name, np.array([x, y, size, 1.5 * size]), point)


class Run:
    """A tracker and its clock."""

    def __init__(self, **options: float) -> None:
        self.tracker = Tracker(**options)
        self.seconds = 100.0

    def see(self, *seen: Observation, passed: float = STEP) -> list[int]:
        self.seconds += passed
        return self.tracker.update(self.seconds, seen)

    def settle(self, *seen: Observation) -> list[int]:
        for _ in range(5):
            numbers = self.see(*seen)
        return numbers


def test_a_number_comes_with_the_third_image_and_stays() -> None:
    run = Run()
    assert [run.see(at(100 + 5 * step)) for step in range(5)] == [[0], [0], [1], [1], [1]]


def test_order_does_not_matter_and_classes_do() -> None:
    run = Run()
    first = run.settle(at(100), at(300), at(300, name="chair"))
    assert len(set(first)) == 3 and 0 not in first
    again = run.see(at(300, name="chair"), at(300), at(100))
    assert again == first[::-1]


@pytest.mark.parametrize("z", [None, 3.0])
def test_an_object_that_moves_is_known_after_a_second_of_hiding(z: float | None) -> None:
    run = Run()
    for step in range(10):
        before = run.see(at(100 + 8 * step, z=z), at(500, z=z))
    for _ in range(10):
        assert run.see(at(500, z=z)) == before[1:]
    assert run.see(at(100 + 8 * 20, z=z), at(500, z=z)) == before


def test_after_its_memory_it_is_another_one() -> None:
    run = Run(memory=1.0)
    before = run.settle(at(100), at(500))
    for _ in range(12):
        run.see(at(500))
    after = run.settle(at(100), at(500))
    assert after[1] == before[1] and after[0] not in before


def test_a_slow_network_sees_the_same_objects() -> None:
    """Nothing is hidden between two images, however short the memory; but hours are too long."""
    run = Run(memory=1.0)
    for _ in range(4):
        numbers = run.see(at(100), at(500), passed=4.0)
    assert numbers == [1, 2]
    assert run.see(at(100), at(500), passed=60.0) == [0, 0]


def test_those_that_cross_keep_their_numbers() -> None:
    """In the image they are in one place; in space one is behind the other."""
    run = Run()
    for step in range(21):
        numbers = run.see(at(100 + 20 * step, z=2.0), at(500 - 20 * step, z=4.0))
    assert numbers == [1, 2]


def test_a_hidden_object_takes_part_in_a_turn_of_the_camera() -> None:
    """The camera begins to turn while one of five is hidden; all others say so."""
    run = Run()
    places = [60.0, 200.0, 320.0, 450.0, 600.0]
    before = run.settle(*(at(x, size=30, z=3.0) for x in places))
    for step in range(10):
        run.see(*(at(x + 25 * step, size=30, z=3.0) for x in places[:2] + places[3:]))
    after = run.see(*(at(x + 250, size=30, z=3.0) for x in places))
    assert after == before


def test_a_clock_that_goes_back_starts_afresh_and_uses_no_number_again() -> None:
    run = Run()
    run.settle(at(100))
    assert run.see(at(100), passed=-0.5) == [1], "a little disorder is none"
    run.seconds += 0.5
    assert run.see(at(100), passed=-50.0) == [0]
    assert run.settle(at(100)) == [2]


def test_memory_is_bounded_whatever_comes() -> None:
    run = Run(memory=60.0)
    rng = np.random.default_rng(0)
    for _ in range(12):
        seen = [at(*rng.uniform(0, 600, 2), size=3) for _ in range(200)]
        run.see(*seen)
        assert len(run.tracker) <= MOST_TRACKS
    frozen = Run()
    frozen.settle(at(100))
    for _ in range(_MOST_MISSES + 1):  # a camera whose stamp stands still
        frozen.see(passed=0.0)
    assert len(frozen.tracker) == 0


def test_hours_without_an_image_and_nothing_at_all() -> None:
    run = Run()
    assert run.see() == []
    run.settle(at(100))
    assert run.see(at(100), passed=7200.0) == [0]
    assert np.isfinite(run.tracker._tracks[0].filter.value[:4]).all()


def test_depth_that_comes_and_goes_changes_no_number() -> None:
    run = Run()
    before = run.settle(at(100), at(300))
    for z in (None, 2.0, 2.0, None, None, 2.0):
        assert run.see(at(100, z=z), at(300, z=z)) == before
