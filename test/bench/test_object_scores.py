# SPDX-License-Identifier: Apache-2.0
"""The scores of `make bench-objects` against counting by hand and trying all assignments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from objects.scores import Boxes, Scores, hiding_survived


def boxes(*entries: tuple[int, int], counted: bool = True) -> Boxes:
    """Boxes of one size and class, each an id and a place."""
    ids = np.array([number for number, _ in entries], int)
    places = np.array([(100.0 * place, 0, 50, 50) for _, place in entries]).reshape(-1, 4)
    return Boxes(ids, np.zeros(len(ids), int), places, np.full(len(ids), counted))


def naive_idf1(images: list[tuple[list, list]]) -> float:
    """Over all one-to-one maps from objects to numbers."""
    objects = sorted({number for truth, _ in images for number, _ in truth})
    numbers = sorted({number for _, found in images for number, _ in found})
    total = sum(len(truth) + len(found) for truth, found in images)
    padded = numbers + [None] * len(objects)
    best = 0
    for chosen in itertools.permutations(padded, len(objects)):
        owner = dict(zip(objects, chosen, strict=True))
        common = 0
        for truth, found in images:
            places = {(number, place) for number, place in found}
            common += sum((owner[number], place) in places for number, place in truth)
        best = max(best, common)
    return 2 * best / total if total else float("nan")


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_idf1_is_that_of_the_best_of_all_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, images = Scores(), []
    for _ in range(5):
        truth, found = (
            list(
                zip(
                    rng.permutation(3)[:count].tolist(),
                    rng.permutation(4)[:count].tolist(),
                    strict=True,
                )
            )
            for count in rng.integers(0, 4, 2)
        )
        images.append((truth, found))
        scores.add(0, boxes(*truth), boxes(*found))
    assert scores.idf1 == pytest.approx(naive_idf1(images), nan_ok=True)


def test_hits_misses_and_switches_are_counted() -> None:
    scores = Scores()
    for number in (7, 7, 8):
        scores.add(0, boxes((1, 0), (2, 1)), boxes((number, 0), (9, 5)))
    assert (scores.hits, scores.misses, scores.wrong, scores.switches) == (3, 3, 3, 1)
    assert scores.mota == pytest.approx(1 - 7 / 6)
    assert scores.idf1 == pytest.approx(2 * 2 / 12)
    scores.add(1, boxes((1, 0)), boxes((7, 0)))  # another drive: another object
    assert scores.switches == 1 and scores.idf1 == pytest.approx(2 * 3 / 14)


def test_what_is_too_small_is_neither_missed_nor_wrong() -> None:
    scores = Scores()
    scores.add(0, boxes((1, 0), counted=False), boxes((7, 0)))
    scores.add(0, boxes((1, 0), counted=False), boxes())
    assert (scores.hits, scores.misses, scores.wrong) == (0, 0, 0)


def test_objects_of_other_classes_do_not_match() -> None:
    scores, truth = Scores(), boxes((1, 0))
    other = Boxes(truth.ids, truth.classes + 1, truth.places, truth.counted)
    assert scores.add(0, truth, other) == {}


def test_hiding_is_survived_by_those_with_the_same_number_afterwards() -> None:
    hidden = [None, 5, 5, None, None, 6, None, 4, None]
    numbers = [{5: 1, 6: 2}, {}, {}, {}, {5: 1, 6: 2}, {}, {6: 3}, {}, {}]
    assert hiding_survived(hidden, numbers) == [True, False]
