# SPDX-License-Identifier: Apache-2.0
"""`make table` and `make robustness` with the golden model on a few frames."""

from __future__ import annotations

import re

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL
from paths import HELD_OUT, ROOT

from dinoiser_ros.evaluation.command import spread
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS
from dinoiser_ros.evaluation.datasets.corruptions import CORRUPTIONS, corrupt
from dinoiser_ros.evaluation.datasets.samples import Sample
from dinoiser_ros.evaluation.heldout import evaluate as score_frames
from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix
from dinoiser_ros.evaluation.reports.published import PUBLISHED, published_table
from dinoiser_ros.evaluation.state import State
from dinoiser_ros.evaluation.tables import ablation, robustness
from dinoiser_ros.evaluation.tables import measure as sim_command
from dinoiser_ros.segmentation import Segmenter, WeightsError
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.frames import read_frames
from dinoiser_ros.utils.markdown import replace_part, table

FRAMES = HELD_OUT


def load(method):
    how = {"device": "cpu", "precision": "float32", "offline": True}
    return Segmenter(**GOLDEN_MODEL, inference_size=0, **how, method=method)


@pytest.fixture(scope="module")
def measured():
    return ablation.measure(list(METHODS), load, FRAMES, limit=2)


def test_counts_are_those_of_the_held_out_score(measured):
    counts, left_out = measured
    assert [method for method in METHODS if method not in left_out] == list(counts)
    assert {"dinoiser", "maskclip"} <= set(counts)
    frames = list(read_frames(FRAMES))
    some = [frames[0], frames[len(frames) // 2]]
    segmenter = load("dinoiser")
    segmenter.set_prompts(list(CLASSES))
    row = score_frames(lambda rgb: np.asarray(segmenter.segment(rgb).labels), some).row()
    tally = counts["dinoiser"]["sim"]
    assert tally.mean_iou() == row["mIoU"] and tally.samples == 2
    np.testing.assert_equal(tally.part_recall("seen pairs"), row["recall, seen pairs"])
    assert len(counts["dinoiser"]["sim-background"].matrix) == 11


def test_the_table_has_a_row_for_each_method(measured):
    text = ablation.markdown("golden", *measured, {})
    assert all(f"| {method} " in text for method in measured[0])
    (missing,) = re.findall(r"(?m)^Not measured, .* they need: (.*)\.$", text)
    assert missing.split(", ") == list(measured[1])
    for quoted in ("CLIP-DINOiser", "62.1", "CLIPer", "not measured here"):
        assert quoted in text


def test_the_background_ablation_uses_the_filter_it_names(golden):
    """The golden model has no DINO: what needs one is left out, the rest is the product's own."""
    tallies = ablation.measure_backgrounds(load, FRAMES, limit=1)
    assert list(tallies) == ["objectness, uncertain"]
    benchmark = BENCHMARKS["sim-background"]
    golden.set_prompts(list(benchmark.classes))
    sample = benchmark.samples(FRAMES)[0].load()
    wanted = confusion_matrix(sample.labels, golden.segment(sample.rgb).labels, 11)
    assert (tallies["objectness, uncertain"].matrix == wanted).all()
    text = ablation.markdown("golden", {}, {}, tallies)
    assert "| objectness, uncertain  |" in text


def test_the_page_can_take_the_table(measured):
    text = ablation.markdown("golden", *measured, {})
    page = (ROOT / "docs" / "explanation" / "measurements.md").read_text(encoding="utf-8")
    once = replace_part(page, ablation.MARKERS, text)
    assert text in once and replace_part(once, ablation.MARKERS, text) == once


def test_a_method_that_cannot_be_had_is_left_out_with_its_reason(capsys):
    def refuse(method):
        if method == "maskclip":
            raise WeightsError("no such weights")
        return load(method)

    counts, left_out = ablation.measure(["maskclip", "dinoiser"], refuse, FRAMES, limit=1)
    assert list(counts) == ["dinoiser"] and left_out == {"maskclip": "no such weights"}
    text = ablation.markdown("golden", counts, left_out, {})
    assert "lacks what they need: maskclip.\n" in text and "no such weights" not in text
    sim_command.report_left_out(left_out)
    assert "maskclip is left out: no such weights" in capsys.readouterr().err


def test_maskclip_plus_is_measured_with_the_models_companion():
    counts, left_out = ablation.measure(
        ["dinoiser", "maskclip+"], sim_command.loader("demo"), FRAMES, limit=6
    )
    assert list(counts) == ["dinoiser", "maskclip+"] and not left_out
    assert "maskclip+: a network of its own" in ablation.markdown("demo", counts, {}, {})
    assert "maskclip+: " not in ablation.markdown("demo", {}, {}, {})
    assert counts["maskclip+"]["sim"].mean_iou() > 0.3
    assert counts["maskclip+"]["sim-background"].mean_iou() > 0.2


def test_papers_rows_name_real_benchmarks():
    assert all(set(row.scores) <= set(BENCHMARKS) for row in PUBLISHED)
    assert published_table().count("\n") == len(PUBLISHED) + 2


def test_a_stopped_robustness_run_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(robustness, "CONDITIONS", robustness.CONDITIONS[:2])
    samples = spread(BENCHMARKS["sim"].samples(FRAMES), 2)
    whole, _ = robustness.measure(["maskclip"], load, samples, 3, State(tmp_path / "s"))

    def fail() -> None:
        raise AssertionError("counted again")

    nothing = [Sample(sample.name, fail) for sample in samples]
    resumed, _ = robustness.measure(["maskclip"], load, nothing, 3, State(tmp_path / "s"))
    assert resumed == whole
    with pytest.raises(AssertionError, match="counted again"):
        robustness.measure(["maskclip"], load, nothing, 4, State(tmp_path / "s"))


def test_robustness_measures_every_condition(monkeypatch):
    monkeypatch.setattr(robustness, "CONDITIONS", robustness.CONDITIONS[:3])
    samples = spread(BENCHMARKS["sim"].samples(FRAMES), 1)
    scores, _ = robustness.measure(["maskclip"], load, samples)
    again, _ = robustness.measure(["maskclip"], load, samples)
    assert scores == again
    assert list(scores["maskclip"]) == [("clean", 0), ("gaussian noise", 1), ("gaussian noise", 2)]


def test_robustness_tables():
    values = {condition: 0.5 - 0.05 * condition[1] for condition in robustness.CONDITIONS}
    text = robustness.markdown("demo", 7, {"maskclip": values}, {"cliper": "reason"})
    assert "7 held-out frames" in text and "they need: cliper.\n" in text
    means, every = (part for part in text.split("\n\n") if part.startswith("| mIoU"))
    assert means.count("35.0") == len(CORRUPTIONS) and "50.0" in means
    assert every.count("\n") == 5 * len(CORRUPTIONS) + 2
    numbers = robustness.to_json("demo", 7, 0, {"maskclip": values})["mIoU"]["maskclip"]
    assert numbers["clean"] == 0.5
    assert numbers["blur"] == pytest.approx([0.45, 0.4, 0.35, 0.3, 0.25])


def test_every_frame_is_corrupted_with_a_seed_of_its_own():
    samples = spread(BENCHMARKS["sim"].samples(FRAMES), 2)
    bad = robustness.corrupted(samples, "gaussian noise", 5, seed=1)
    for index, (sample, worse) in enumerate(zip(samples, bad, strict=True)):
        before, after = sample.load(), worse.load()
        wanted = corrupt(before.rgb, "gaussian noise", 5, 1_000_003 + index)
        assert (after.rgb == wanted).all() and (after.labels == before.labels).all()


def test_tables_are_aligned():
    lines = table(["a", "long name"], [["longer", "1"], ["b", "22.5"]]).splitlines()
    assert lines == [
        "| a      | long name |",
        "| ------ | --------: |",
        "| longer |         1 |",
        "| b      |      22.5 |",
    ]


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "<!-- x -->\n<!-- /x -->" * 2])
def test_markers_have_to_be_there_once(text):
    with pytest.raises(ValueError, match="once"):
        replace_part(text, "x", "new\n")


def test_replaced_text_is_taken_literally():
    assert replace_part("<!-- x -->\nold\n<!-- /x -->", "x", "\\1\n") == (
        "<!-- x -->\n\\1\n<!-- /x -->"
    )
