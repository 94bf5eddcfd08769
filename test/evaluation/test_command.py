# SPDX-License-Identifier: Apache-2.0
"""`dinoiser evaluate` as its user runs it, on small data sets and the golden model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluation_fakes import write_cityscapes, write_voc
from golden_data import GOLDEN_MODEL
from paths import ROOT

from dinoiser_ros.cli.main import main
from dinoiser_ros.evaluation import sliding_window as sliding
from dinoiser_ros.evaluation.command import find_samples, spread
from dinoiser_ros.evaluation.datasets import samples
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS
from dinoiser_ros.evaluation.runner import predictor, prepare

MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]
METHODS = ["dinoiser", "maskclip"]


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    """The real protocol on windows of 64 pixels, which take milliseconds."""
    for name, pixels in (("SHORTER_SIDE", 64), ("WINDOW", 64), ("STRIDE", 32)):
        monkeypatch.setattr(sliding, name, pixels)


@pytest.fixture
def data(tmp_path):
    write_voc(tmp_path / "data" / "VOCdevkit" / "VOC2012")
    write_cityscapes(tmp_path / "elsewhere")
    return tmp_path


def run(data, *more):
    wanted = ["voc20", "voc", f"cityscapes={data / 'elsewhere'}"]
    where = ["--data", str(data / "data"), "-o", str(data / "out" / "results.json")]
    return main(["evaluate", *wanted, *where, "--methods", *METHODS, *MODEL, *more])


def results(data):
    return json.loads((data / "out" / "results.json").read_text())


def naive_miou(golden, name, method, folder):
    """From sets of pixels, picture by picture, with the segmenter's own labels."""
    benchmark = BENCHMARKS[name]
    golden.set_options(method=method)
    prepare(golden, benchmark)
    predict, pixels = predictor(golden, benchmark), []
    for sample in benchmark.samples(folder):
        loaded = sample.load()
        pairs = zip(
            loaded.labels.ravel().tolist(), predict(loaded.rgb).ravel().tolist(), strict=True
        )
        pixels += [pair for pair in pairs if pair[0] != 255]
    values = []
    for c in range(len(benchmark.classes)):
        either = [pair for pair in pixels if c in pair]
        if either:
            values.append(sum(pair == (c, c) for pair in either) / len(either))
    return sum(values) / len(values)


def test_results_are_those_of_a_loop(data, golden, capsys):
    assert run(data) == 0
    numbers = results(data)["benchmarks"]
    assert list(numbers) == ["voc20", "voc", "cityscapes"]
    assert results(data)["model"] == "golden-small" and results(data)["precision"] == "float32"
    for name, folder in (("voc20", "data"), ("voc", "data"), ("cityscapes", "elsewhere")):
        for method in METHODS:
            entry = numbers[name][method]
            assert entry["mIoU"] == pytest.approx(naive_miou(golden, name, method, data / folder))
            assert list(entry["IoU"]) == list(BENCHMARKS[name].classes)
    printed = capsys.readouterr().out
    text = (data / "out" / "results.md").read_text()
    assert f" {100 * numbers['voc']['maskclip']['mIoU']:.1f} |" in printed
    for name in ("dining table", "traffic sign", "**mean**", "quoted from its paper", "80.9"):
        assert name in text
    assert {path.name for path in (data / "out").iterdir()} == {"results.json", "results.md"}


def test_a_stopped_run_goes_on(data, monkeypatch, capsys):
    assert run(data) == 0
    whole = results(data)
    reads, real = [], samples.read_labels

    def stop_at_the_fifth(path, table):
        reads.append(path)
        if len(reads) == 5:
            raise KeyboardInterrupt
        return real(path, table)

    (data / "out" / "results.json").unlink()
    monkeypatch.setattr(samples, "read_labels", stop_at_the_fifth)
    assert run(data) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert (data / "out" / "results.state").exists()
    assert not (data / "out" / "results.json").exists()
    assert run(data) == 0
    again = results(data)
    for tallies in (*whole["benchmarks"].values(), *again["benchmarks"].values()):
        for entry in tallies.values():
            entry.pop("seconds a picture")
    assert again == whole
    assert len(reads) == 2 * (3 + 3 + 2) + 1, "nothing but the stopped picture is read twice"


def test_fresh_forgets(data, capsys):
    state = data / "out" / "results.state"
    state.parent.mkdir()
    state.write_text("damaged")
    assert run(data) == 1
    assert "--fresh" in capsys.readouterr().err
    assert run(data, "--fresh") == 0


def test_limit_takes_evenly_spread_pictures(data, capsys):
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == spread([1, 2], None) == [1, 2]
    assert run(data, "--limit", "1", "--classes") == 0
    assert "| dining table " in capsys.readouterr().out
    assert results(data)["benchmarks"]["voc"]["dinoiser"]["pictures"] == 1


def test_the_filter_is_on_where_the_papers_have_it(golden):
    for name, wanted in (("voc", "auto"), ("coco-object", "auto"), ("context60", "off")):
        prepare(golden, BENCHMARKS[name])
        assert golden.options.background_filter == wanted
        assert golden.vocabulary.background == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing"], "no benchmark 'nothing'"),
        (["voc20"], "Give --data FOLDER or voc20=FOLDER"),
        (["voc20", "--data", "/nowhere"], "/nowhere has no"),
        (["sim=/nowhere"], "index.json"),
    ],
)
def test_errors_are_one_sentence(arguments, reason, capsys):
    assert main(["evaluate", *arguments, *MODEL]) == 1
    error = capsys.readouterr().err
    assert reason in error and "Traceback" not in error and error.count("\n") == 1


def test_all_means_the_public_ones(tmp_path):
    with pytest.raises(ValueError, match="VOC2012"):
        find_samples(["all"], tmp_path)


def test_simulated_frames_need_no_folder_in_the_repository(monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(ROOT)
    found = find_samples(["sim", "sim-background"], Path("/nowhere"), 3)
    loaded = [entry[1].load() for entry in found.values()]
    assert (loaded[0].rgb == loaded[1].rgb).all()
    assert not np.array_equal(loaded[0].labels, loaded[1].labels)
    assert set(loaded[0].parts) == {"held-out pairs", "seen pairs"}
