# SPDX-License-Identifier: Apache-2.0
"""The command line, as its user runs it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL
from media_fakes import segment_by_brightness
from paths import ROOT
from PIL import Image

from dinoiser_ros.cli.main import main
from dinoiser_ros.training.familiarity.other_pictures import other_picture

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


def test_every_kind_of_input_in_one_command(folder, capsys, monkeypatch):
    from bag_files import write_bag
    from video_files import FRAMES, write_video

    write_video(folder / "in" / "film.mp4")
    write_bag(folder / "in" / "deep" / "drive")
    (folder / "in" / "deep" / "odd.png").write_bytes((folder / "in" / "odd.png").read_bytes())
    monkeypatch.setattr("dinoiser_ros.segmentation.Segmenter.segment", segment_by_brightness)
    assert run(folder) == 0
    captured = capsys.readouterr()
    assert f"film.mp4: {FRAMES} frames: " in captured.out
    last = captured.out.splitlines()[-1]
    assert last.startswith("3 of 3 pictures, 1 of 1 videos, 1 of 1 bags segmented")
    assert captured.err.count("\n") == 1 and "it is depth" in captured.err, "and no bars"
    results = {path.relative_to(folder / "out").as_posix() for path in folder.glob("out/*")}
    assert {"film_overlay.mp4", "odd_labels.png", "deep"} <= results
    inside = {path.name for path in (folder / "out" / "deep").iterdir()}
    assert inside >= {"drive_segmented", "odd_labels.png"}


def test_what_cannot_be_segmented_is_said_and_the_rest_is_done(folder, capsys):
    strange = [str(folder / "in" / "notes.txt"), str(folder / "nowhere.mp4")]
    assert main(["segment", *strange, str(folder / "in"), "-o", str(folder / "out"), *MODEL,
                 "-p", "person", "floor", "--save", "labels"]) == 1  # fmt: skip
    captured = capsys.readouterr()
    assert "notes.txt: this is none of what can be segmented: pictures (.bmp" in captured.err
    assert "nowhere.mp4: there is no such file" in captured.err
    assert "2 of 2 pictures, 0 of 1 videos, 0 of 1 other files" in captured.out
    assert {path.name for path in (folder / "out").iterdir()} == {
        "square_labels.png",
        "odd_labels.png",
    }


def test_ctrl_c_ends_with_a_sentence(folder, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dinoiser_ros.segmentation.Segmenter.segment", interrupted)
    assert run(folder) == 130
    assert "stopped" in capsys.readouterr().err
    assert not list(folder.glob("out/*"))


def test_the_pictures_in_the_readme_are_made_by_their_command(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"(?m)^dinoiser (segment data/.*)$", text)
    monkeypatch.chdir(ROOT)
    assert main([*shlex.split(command), "-o", str(tmp_path)]) == 0
    made = sorted(tmp_path.iterdir())
    assert [f"docs/images/{path.name}" for path in made] == re.findall(
        r"docs/images/\w+_overlay\.png", text
    )
    for path in made:
        shown, now = (
            np.asarray(Image.open(p), np.int16)
            for p in (ROOT / "docs" / "images" / path.name, path)
        )
        assert np.abs(shown - now).mean() < 4, "but for rounding: another processor, another Pillow"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["segment", "nowhere.png", "--model", "nothing", "-p", "a"], "no model 'nothing'"),
        (["segment", "nowhere.png", "--offline", "-p", "a"], "network is switched off"),
        (["segment", "nowhere.png", "--offline"], "There is no prompt"),
        (["download", "--offline"], "network is switched off"),
        (["download", "--offline", "--method", "dinoiser-dino"], "has no DINO of its own"),
        (["segment", "a.png", "-p", "a", "--model", "demo", "--gamma", "2"], "gamma cannot be 2.0"),
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


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    declared = re.search("<version>(.+?)</version>", (ROOT / "package.xml").read_text())[1]
    assert capsys.readouterr().out == f"dinoiser {declared}\n"


def test_only_training_waits_for_openclip_and_only_the_page_for_its_server():
    """They take seconds to import, which `dinoiser --help` would cost, too."""
    code = "import dinoiser_ros.cli.main, sys; print({*sys.argv[1:]} & {*sys.modules})"
    late = ("open_clip", "torchvision", "aiohttp", "cv2")
    done = subprocess.run(
        [sys.executable, "-c", code, *late], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_inference_size_is_the_models_own_by_default(folder, golden, expected):
    """As in Python and in the node; see the node's own test."""
    assert run(folder) == 0
    golden.set_prompts(["person", "wooden floor"])
    labels = np.asarray(Image.open(folder / "out" / "odd_labels.png"))
    golden.inference_size = None
    found = golden.segment(expected["odd.image_u8"])
    np.testing.assert_array_equal(labels, found.labels)
    golden.inference_size = golden.default_inference_size
    same = golden.segment(expected["odd.image_u8"])
    np.testing.assert_array_equal(found.confidence, same.confidence)
    golden.inference_size = 0
    assert (golden.segment(expected["odd.image_u8"]).confidence != found.confidence).any()


@pytest.mark.parametrize("error", [TypeError("odd\ninput"), KeyError("shape"), AssertionError()])
def test_any_exception_of_a_command_is_one_sentence(monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("dinoiser_ros.cli.main.load", fail)
    assert main(["download"]) == 1
    text = capsys.readouterr().err
    assert (
        text.startswith("dinoiser: an unexpected error at test_cli.py:") and text.count("\n") == 1
    )
    assert type(error).__name__ in text


def test_a_model_of_a_simulated_world_says_where_it_is_lost(tmp_path, capsys):
    for number in range(3):
        picture = other_picture(20_000 + number)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    common = ["segment", str(tmp_path), "-o", str(tmp_path / "out"), "-p", "floor", "wall"]
    assert main([*common, "--model", "demo"]) == 0
    error = capsys.readouterr().err
    assert error.count("warning:") == 1 and "of 3 inputs may not show the simulated world" in error
    assert "use the model 'vit-b-16'" in error
    assert main([*common, *MODEL]) == 0
    assert "warning" not in capsys.readouterr().err
