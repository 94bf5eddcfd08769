"""The command line, as its user runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL
from PIL import Image

from dinoiser_ros.cli import main

MODEL = [part for key, path in GOLDEN_MODEL.items() for part in (f"--{key}", str(path))]


@pytest.fixture
def folder(tmp_path, expected):
    (tmp_path / "in").mkdir()
    for name in ("square", "odd"):
        Image.fromarray(expected[f"{name}.image_u8"]).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    return tmp_path


def run(folder, *more: str) -> int:
    arguments = ["segment", str(folder / "in"), "-o", str(folder / "out"), *MODEL]
    return main([*arguments, "--prompts", "person", "wooden floor", *more])


def test_a_folder_of_pictures(folder, golden, expected, capsys):
    assert run(folder, "--inference-size", "0") == 0
    assert "2 of 2 pictures" in capsys.readouterr().out
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {
        f"{p}_{k}.png" for p in ("square", "odd") for k in ("overlay", "labels", "confidence")
    }
    golden.set_prompts(["person", "wooden floor"])
    result = golden.segment(expected["odd.image_u8"])
    labels = np.asarray(Image.open(folder / "out" / "odd_labels.png"))
    np.testing.assert_array_equal(labels, result.labels)
    confidence = np.asarray(Image.open(folder / "out" / "odd_confidence.png"))
    assert np.abs(confidence / 255 - result.confidence).max() < 0.01


def test_options_reach_the_segmenter(folder, golden, expected):
    chosen = ["--method", "maskclip-ks", "--ks-threshold", "0.8", "--inference-size", "0"]
    assert run(folder, *chosen, "--no-background-uncertainty", "--background-filter", "off") == 0
    golden.set_prompts(["person", "wooden floor"])
    golden.set_options(method="maskclip-ks", ks_threshold=0.8)
    labels = np.asarray(Image.open(folder / "out" / "odd_labels.png"))
    np.testing.assert_array_equal(labels, golden.segment(expected["odd.image_u8"]).labels)


def test_one_bad_picture_does_not_end_a_folder(folder, capsys):
    (folder / "in" / "a_broken.png").write_bytes(b"not a PNG")
    assert run(folder) == 1
    captured = capsys.readouterr()
    assert "a_broken.png" in captured.err and "2 of 3 pictures" in captured.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["segment", "nowhere.png", "--model", "nothing", "-p", "a"], "no model 'nothing'"),
        (["segment", "nowhere.png", "--offline", "-p", "a"], "network is switched off"),
        (["segment", "nowhere.png", "--offline"], "There is no prompt"),
        (["download", "--offline"], "network is switched off"),
        (["download", "--offline", "--method", "dinoiser-dino"], "has no DINO of its own"),
        (["segment", "a.png", "-p", "a", "--model", "demo", "--gamma", "2"], "gamma is 2.0"),
    ],
)
def test_errors_are_one_sentence(arguments, reason, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert reason in error and "Traceback" not in error and error.count("\n") == 1


def test_an_empty_folder_is_said(tmp_path, capsys):
    assert main(["segment", str(tmp_path), "-p", "a", *MODEL]) == 1
    assert "no picture found" in capsys.readouterr().err


def test_download_checks_that_the_model_works(capsys):
    assert main(["download", *MODEL]) == 0
    assert "golden-small" in capsys.readouterr().out
    assert json.loads(GOLDEN_MODEL["model"].read_text())["embed_dim"] == 32
