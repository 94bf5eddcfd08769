# SPDX-License-Identifier: Apache-2.0
"""The command `dinoiser train-heads` from pictures to heads that the engine uses."""

from __future__ import annotations

import argparse
import dataclasses
import json

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL
from PIL import Image
from training_fakes import official_dino_state

from dinoiser_ros.cli.main import main
from dinoiser_ros.errors import TrainingError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.registry import MODELS
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads, heads_from_state
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.training import train_heads
from dinoiser_ros.training.common.image_folder import FolderBatches
from dinoiser_ros.training.heads.files import Thresholds, check_output, read_heads, save_heads
from dinoiser_ros.training.heads.options import HeadOptions, add_arguments
from dinoiser_ros.training.heads.schedule import HeadSchedule

MODEL = [part for key in ("model", "weights") for part in (f"--{key}", str(GOLDEN_MODEL[key]))]
DEMO_DINO = str(MODELS["demo"]().config.with_name("demo_dino.json"))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for index in range(5):
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((80, 60)).save(tmp_path / "in" / f"{index}.png")
    torch.save(official_dino_state(), tmp_path / "dino.pth")
    return tmp_path


def train(folder, *more, output="heads.safetensors"):
    small = ["--size", "48", "--crop", "32", "--batch", "2", "--steps", "4", "--channels", "6"]
    rates = ["--lr-projection", "0.01", "--workers", "0", "--device", "cpu", "--save-every", "0"]
    teachers = ["--dino", str(folder / "dino.pth"), "--found", "seed"]
    files = [str(folder / "in"), "-o", str(folder / output)]
    status = main(["train-heads", *files, *MODEL, *small, *rates, *teachers, *more])
    return status, folder / output


def weights(path):
    return read_checkpoint(path)[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_heads_are_trained_and_used(folder, capsys):
    more = ("--layer", "-2", "--gamma", "0.3", "--delta", "0.9", "--seed", "4")
    status, path = train(folder, *more)
    assert status == 0 and "--heads" in capsys.readouterr().out
    read = heads_from_state(*read_checkpoint(path))
    assert (read.gamma, read.delta, read.intermediate_layer) == (0.3, 0.9, -2)
    record = json.loads(path.with_suffix(".training.json").read_text())
    assert record["pictures"]["count"] == 5 and record["seed"] == 4
    assert record["schedule"]["dino_threshold"] == 0.3
    assert len(record["losses"]["correlation"]) == len(record["losses"]["objectness"]) == 4
    segmenter = Segmenter(
        **{**GOLDEN_MODEL, "inference_size": 0, "heads": path}, device="cpu", precision="float32"
    )
    segmenter.set_prompts(["person", "floor"])
    assert segmenter.segment(np.zeros((32, 48, 3), np.uint8)).labels.shape == (32, 48)
    left = {path.name for path in folder.iterdir()}
    assert left == {"in", "dino.pth", "heads.safetensors", "heads.training.json"}


def test_the_same_seed_gives_the_same_heads(folder):
    first, again, other = (
        weights(train(folder, "--seed", seed, "--workers", n, output=f"{name}.safetensors")[1])
        for name, seed, n in (("a", "0", "0"), ("b", "0", "1"), ("c", "1", "0"))
    )
    assert same(first, again) and not same(first, other)


def test_a_broken_off_run_goes_on(folder, monkeypatch, capsys):
    whole = weights(train(folder)[1])
    get, steps = FolderBatches.__getitem__, []

    def get_or_break(source, step):
        if step == 3 and steps.count(3) == 0:
            steps.append(step)
            raise KeyboardInterrupt
        steps.append(step)
        return get(source, step)

    monkeypatch.setattr(FolderBatches, "__getitem__", get_or_break)
    assert train(folder, output="parts.safetensors")[0] == 130
    assert capsys.readouterr().err.endswith("the same command goes on where this one ended.\n")
    assert (folder / "parts.safetensors.checkpoint").exists()
    assert same(whole, weights(train(folder, output="parts.safetensors")[1]))
    assert steps == [0, 1, 2, 3, 3], "what was done is not done again"


def test_another_run_does_not_go_on(folder, monkeypatch, capsys):
    monkeypatch.setattr(train_heads, "_finish", lambda *_: None)  # leaves the checkpoint
    train(folder)
    assert train(folder, "--seed", "1")[0] == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "run with another seed: remove it to start anew" in error


def test_the_authors_layout_is_written_and_read(folder):
    status, path = train(folder, output="last.pt")
    assert status == 0
    content = torch.load(path, weights_only=True)
    assert set(content["model_state_dict"]) == {
        "obj_proj.weight", "obj_proj.bias", "bkg_decoder.weight", "bkg_decoder.bias",
    }  # fmt: skip
    ours = weights(train(folder)[1])
    assert same(weights(path), ours)
    assert same(dict(read_heads(path, 64).state_dict()), ours)
    assert heads_from_state(ours).width == 64
    more = weights(train(folder, "--start-from", str(path), output="more.safetensors")[1])
    change = (more["obj_proj.weight"] - ours["obj_proj.weight"]).abs().max()
    assert 0 < change < 0.1, "it starts where the others ended"


def test_every_kind_of_teacher(folder):
    torch.save({"decoder": DinoiserHeads(128, 1).bkg_decoder.state_dict()}, folder / "found.pt")
    found = ["--found", str(folder / "found.pt")]
    assert train(folder, *found, "--found-dino", str(folder / "dino.pth"))[0] == 0
    assert train(folder, *found, "--found-dino", DEMO_DINO, "--dino", DEMO_DINO)[0] == 0
    assert train(folder, "--precision", "bfloat16")[0] == 0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--crop", "40"], "use a multiple of 16, such as 32"),
        (["--crop", "64"], "use a smaller crop"),
        (["--layer", "-1"], "intermediate layer -1 does not exist"),
        (["--dino", "nothing.pth"], "nothing.pth does not exist"),
        (["--dino", str(GOLDEN_MODEL["weights"])], "lacks patch_embed.proj.weight"),
        (["--found", str(GOLDEN_MODEL["weights"])], "not FOUND's head"),
        (["--start-from", "{}/dino.pth"], "give a CLIP-DINOiser checkpoint"),
        (["--model", "nothing"], "no model 'nothing'"),
        (["-o", "heads.bin"], "no known suffix"),
        (["-o", "heads.pt", "--layer", "-2"], "no place for other thresholds"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder, more, reason, capsys):
    more = [part.format(folder) for part in more]
    if more[0] == "--found":
        more += ["--found-dino", str(folder / "dino.pth")]
    assert train(folder, *more)[0] == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1 and error.startswith("dinoiser: ")


def test_pictures_that_cannot_be_read_are_one_sentence(folder, capsys):
    (folder / "in" / "broken.png").write_bytes(b"not a PNG")
    assert train(folder, "--workers", "1")[0] == 1
    assert "broken.png cannot be read as a picture" in capsys.readouterr().err.splitlines()[-1]
    for path in (folder / "in").iterdir():
        path.unlink()
    assert train(folder)[0] == 1
    assert "has no pictures in it" in capsys.readouterr().err


def test_heads_of_another_backbone_are_not_trained_further(tmp_path):
    path = tmp_path / "heads.safetensors"
    save_heads(DinoiserHeads(12, 4), path, Thresholds())
    with pytest.raises(TrainingError, match="width 12, this backbone's have 64"):
        read_heads(path, 64)
    check_output(path, Thresholds(0.5))


def test_epochs_become_steps(folder):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args([str(folder / "in"), "--batch", "2", "--epochs", "3"])
    assert HeadOptions.from_arguments(given).schedule.steps == 8, "15 pictures, two by two"
    whole = HeadOptions(folder / "in", schedule=dataclasses.replace(HeadSchedule(), steps=8))
    assert HeadOptions.from_arguments(given) == dataclasses.replace(whole, batch=2)
    for wrong in ("--gamma=1.5", "--batch=0", "--epochs=-1", "--lr-projection=nan"):
        with pytest.raises(SystemExit):
            parser.parse_args([str(folder), wrong])


def test_defaults_are_the_papers(tmp_path):
    options = HeadOptions(tmp_path)
    schedule = dataclasses.asdict(options.schedule)
    assert schedule == {
        "steps": 6250, "lr_projection": 5e-5, "lr_objectness": 1e-2,
        "drop_after": 5000, "dino_threshold": 0.2,
    }  # fmt: skip
    assert dataclasses.astuple(options.views) == (448, 448, 0.5, 0.5)
    assert (options.batch, options.channels, options.model) == (16, 256, "vit-b-16")
    assert dataclasses.astuple(options.thresholds) == (0.2, 0.99, -3)
    assert (options.teachers.dino, options.teachers.found_reads) == (
        "dino-vit-b-16", "dino-vit-s-8",
    )  # fmt: skip
