# SPDX-License-Identifier: Apache-2.0
"""Tallies and their state on disk: counting, stopping half-way, going on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation import state
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS
from dinoiser_ros.evaluation.datasets.samples import Loaded, Sample
from dinoiser_ros.evaluation.datasets.simulated import WORLD
from dinoiser_ros.evaluation.metrics.confusion import mean_recall
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.evaluation.runner import evaluate
from dinoiser_ros.evaluation.state import State

CLASSES = 4
IDS = arrays(np.uint8, (2, 4), elements=st.sampled_from([0, 1, 2, 3, 9, 255]))
MASKS = arrays(bool, (2, 4))
PICTURES = st.lists(st.tuples(IDS, IDS, MASKS), min_size=1, max_size=4)


def count(pictures, tally=None):
    tally = tally or Tally.empty(CLASSES)
    for truth, predicted, mask in pictures:
        tally = tally.plus(truth, predicted, {"some": mask}, 0.5)
    return tally


def naive_miou(pairs):
    """Intersections and unions of sets of pixels, over all pictures together."""
    values = []
    for c in range(CLASSES):
        both = either = 0
        for truth, predicted, _ in pairs:
            for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
                if t < CLASSES:
                    both += t == c and p == c
                    either += t == c or p == c
        if either:
            values.append(both / either)
    return sum(values) / len(values) if values else float("nan")


def naive_recall(pairs):
    values = []
    for c in range(CLASSES):
        found = [
            bool(p == c)
            for truth, predicted, mask in pairs
            for t, p in zip(truth[mask].tolist(), predicted[mask].tolist(), strict=True)
            if t == c
        ]
        if found:
            values.append(sum(found) / len(found))
    return sum(values) / len(values) if values else float("nan")


@settings(max_examples=25, deadline=None)
@given(PICTURES)
def test_readings_are_those_of_loops(pictures):
    tally = count(pictures)
    assert tally.mean_iou() == pytest.approx(naive_miou(pictures), nan_ok=True)
    assert tally.part_recall("some") == pytest.approx(naive_recall(pictures), nan_ok=True)
    assert tally.samples == len(pictures) and tally.seconds == 0.5 * len(pictures)


@settings(max_examples=25, deadline=None)
@given(PICTURES, st.randoms(use_true_random=False))
def test_the_order_of_pictures_does_not_matter(pictures, random):
    shuffled = random.sample(pictures, len(pictures))
    assert (count(pictures).matrix == count(shuffled).matrix).all()


@settings(max_examples=25, deadline=None)
@given(PICTURES, st.permutations(range(CLASSES)))
def test_renaming_classes_does_not_change_the_mean(pictures, order):
    table = np.arange(256, dtype=np.uint8)
    table[:CLASSES] = order
    renamed = [(table[truth], table[predicted], mask) for truth, predicted, mask in pictures]
    assert count(renamed).mean_iou() == pytest.approx(count(pictures).mean_iou(), nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(PICTURES)
def test_readings_are_shares(pictures):
    tally = count(pictures)
    for value in (tally.mean_iou(), tally.pixel_accuracy(), tally.part_recall("some")):
        assert np.isnan(value) or 0.0 <= value <= 1.0


@settings(max_examples=25, deadline=None)
@given(PICTURES)
def test_json_gives_the_same_tally(pictures):
    tally = count(pictures)
    again = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    assert (again.matrix == tally.matrix).all()
    assert (again.parts["some"] == tally.parts["some"]).all()
    assert (again.samples, again.seconds) == (tally.samples, tally.seconds)


def test_a_part_that_never_occurred():
    assert np.isnan(Tally.empty(2).part_recall("some")) and np.isnan(mean_recall(np.zeros((2, 3))))


# -- the state on disk ---------------------------------------------------------------------------


class Broken(Exception):
    """What ends a run half-way."""


def toy_samples(number, broken_at=None):
    """Samples of the simulated world's classes; one of them may break."""

    def load(index):
        if index == broken_at:
            raise Broken
        random = np.random.default_rng(index)
        rgb = random.integers(0, 256, (20 + index, 33, 3), np.uint8)
        labels = random.integers(0, len(WORLD.classes), rgb.shape[:2]).astype(np.uint8)
        return Loaded(rgb, labels, {"some": labels < 3})

    return [Sample(f"{i}", lambda i=i: load(i)) for i in range(number)]


@pytest.mark.parametrize("broken_at", [0, 1, 4])
def test_a_stopped_run_goes_on_with_the_same_result(golden, tmp_path, broken_at):
    whole = evaluate(golden, BENCHMARKS["sim"], toy_samples(5), State())
    path = tmp_path / "run.state"
    with pytest.raises(Broken):
        evaluate(golden, BENCHMARKS["sim"], toy_samples(5, broken_at), State(path))
    assert path.exists() == (broken_at > 0)
    done = []
    resumed = evaluate(
        golden,
        BENCHMARKS["sim"],
        toy_samples(5),
        State(path),
        lambda left: (done.append(sample.name) or sample for sample in left),
    )
    assert done == [str(i) for i in range(broken_at, 5)], "nothing is counted twice"
    assert (resumed.matrix == whole.matrix).all() and resumed.samples == 5
    assert (resumed.parts["some"] == whole.parts["some"]).all()


def test_a_finished_benchmark_is_not_counted_again(golden, tmp_path):
    first = evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(tmp_path / "s"))
    nothing = toy_samples(2, broken_at=0)
    second = evaluate(golden, BENCHMARKS["sim"], nothing, State(tmp_path / "s"))
    assert (first.matrix == second.matrix).all()


def test_a_kill_costs_a_few_seconds_only(golden, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)
    path = tmp_path / "run.state"
    on_disk = []

    def watch(left):
        for sample in left:
            on_disk.append(json.loads(path.read_text()) if path.exists() else None)
            yield sample

    evaluate(golden, BENCHMARKS["sim"], toy_samples(3), State(path), watch)
    counted = [None if s is None else s["sim/dinoiser"]["tally"]["samples"] for s in on_disk]
    assert counted == [None, 1, 2]


@pytest.mark.parametrize("change", ["options", "pictures"])
def test_other_settings_are_refused(golden, tmp_path, change):
    path = tmp_path / "run.state"
    evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(path))
    if change == "options":
        golden.set_options(gamma=0.9)
    samples = toy_samples(3 if change == "pictures" else 2)
    with pytest.raises(EvaluationError, match=f"another {change}.*--fresh"):
        evaluate(golden, BENCHMARKS["sim"], samples, State(path))


def test_a_state_that_is_not_strict_forgets_other_settings(golden, tmp_path):
    path = tmp_path / "run.state"
    evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(path, strict=False))
    again = evaluate(golden, BENCHMARKS["sim"], toy_samples(3), State(path, strict=False))
    assert again.samples == 3 and State(path).tally("sim/dinoiser", {}, 18).samples == 3


def test_variants_are_counted_apart(golden, tmp_path):
    path = tmp_path / "run.state"
    evaluate(golden, BENCHMARKS["sim"], toy_samples(1), State(path), variant="dark")
    evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(path))
    counts = {key: entry["tally"]["samples"] for key, entry in json.loads(path.read_text()).items()}
    assert counts == {"sim/dinoiser/dark": 1, "sim/dinoiser": 2}


def test_other_weights_are_refused(golden, tmp_path):
    path = tmp_path / "run.state"
    evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(path))
    golden.backbone.visual.proj.data += 1.0
    with pytest.raises(EvaluationError, match="another backbone"):
        evaluate(golden, BENCHMARKS["sim"], toy_samples(2), State(path))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sim/dinoiser": {}}', "\x00"])
def test_a_damaged_state_is_said(tmp_path, content):
    path = tmp_path / "run.state"
    path.write_text(content)
    with pytest.raises(EvaluationError, match="--fresh"):
        State(path)
