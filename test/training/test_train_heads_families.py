# SPDX-License-Identifier: Apache-2.0
"""Heads for other backbones than ViT-B/16, from pictures to masks, on a tiny scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import GOLDEN
from PIL import Image
from siglip_files import write_siglip
from talk2dino_files import write_talk2dino
from training_fakes import official_dino_state

from dinoiser_ros.cli.main import main
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models.building import build_clip
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone

# ViT-L/14's peculiarities: patches of 14 pixels, other statistics than OpenAI's.
_LARGE = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 56, "layers": 4, "width": 64, "head_width": 32, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
_HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for index in range(4):
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(tmp_path / "in" / f"{index}.png")
    torch.save(official_dino_state(), tmp_path / "dino.pth")
    return tmp_path


def train(folder: Path, files: dict[str, Path], crop: int) -> Path:
    output = folder / "heads.safetensors"
    model = [part for key, path in files.items() for part in (f"--{key}", str(path))]
    small = ["--size", "112", "--crop", str(crop), "--batch", "2", "--steps", "3", "--channels"]
    rest = ["6", "--workers", "0", "--device", "cpu", "--dino", str(folder / "dino.pth")]
    arguments = [str(folder / "in"), "-o", str(output), *model, *small, *rest, "--found", "seed"]
    assert main(["train-heads", *arguments]) == 0
    return output


def write_large(folder: Path) -> dict[str, Path]:
    torch.manual_seed(0)
    config = {"model_cfg": _LARGE, "preprocess_cfg": _HALF}
    (folder / "large.json").write_text(json.dumps(config))
    torch.save(build_clip(_LARGE)[0].state_dict(), folder / "large.pt")
    return {"model": folder / "large.json", "weights": folder / "large.pt"}


def test_heads_for_a_clip_of_14_pixels(folder, monkeypatch):
    statistics = []
    begin = Backbone.__init__

    def noted(self, *given, **more):
        begin(self, *given, **more)
        statistics.append(self.statistics)

    monkeypatch.setattr(Backbone, "__init__", noted)
    files = write_large(folder)
    heads = train(folder, files, crop=112)  # of whole patches of 14 and of DINO's 16 pixels
    segmenter = Segmenter(**files, heads=heads, device="cpu", precision="float32")
    assert statistics == [((0.5,) * 3, (0.5,) * 3)] * 2, "in training as in use"
    segmenter.set_prompts(["background", "person", "floor"])
    assert segmenter.segment(np.zeros((50, 70, 3), np.uint8)).labels.shape == (50, 70)
    assert segmenter.probabilities(np.zeros((50, 70, 3), np.uint8)).shape == (3, 4, 5)


def test_heads_for_siglip(folder):
    pytest.importorskip("tokenizers", reason="needs tokenizers: run pip install '.[siglip]'")
    with np.load(GOLDEN / "siglip_expected.npz") as golden:
        files = write_siglip(folder, golden, tanh=False)
    heads = train(folder, files, crop=64)
    segmenter = Segmenter(
        **files, heads=heads, device="cpu", precision="float32", inference_size=64
    )
    segmenter.set_prompts(["background", "person", "floor"])
    found = segmenter.segment(np.zeros((50, 70, 3), np.uint8))
    assert found.labels.shape == (50, 70) and (found.confidence <= 1).all()


def test_a_dinov2_has_no_use_for_heads(folder, capsys):
    with np.load(GOLDEN / "talk2dino_expected.npz") as golden:
        model = write_talk2dino(folder, golden)
    assert main(["train-heads", str(folder / "in"), "--model", str(model), "--device", "cpu"]) == 1
    assert "is a model of Talk2DINO and no CLIP" in capsys.readouterr().err
