# SPDX-License-Identifier: Apache-2.0
"""`dinoiser models`: what there is and what is on this disk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import GOLDEN

from dinoiser_ros.cli.main import main
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models import registry
from dinoiser_ros.segmentation.models.building import build_clip, build_siglip, read_config
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip
from dinoiser_ros.segmentation.weights.sources import _cached_path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_all_are_listed(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(registry.MODELS)
    demo = next(line for line in lines if line.startswith("demo "))
    assert re.search(r"6\.1 M +8 +192 px +14 MB +dinoiser, ", demo)
    assert "no (about 600 MB)" in lines[1] and lines[1].endswith("MIT; heads Apache-2.0")


def test_what_is_here_in_part(cache, capsys):
    spec = registry.find_model("vit-b-16")
    place = _cached_path(spec.weights[0])
    place.write_bytes((GOLDEN / "clip.safetensors").read_bytes())
    assert main(["models"]) == 0
    assert "4 MB (no heads)" in capsys.readouterr().out.splitlines()[1]
    assert main(["models", "vit-b-16"]) == 0
    told = capsys.readouterr().out
    assert f"weights: {place}" in told and "heads: not here, from https://" in told
    assert "mIoU quoted for dinoiser from arXiv 2312.12359: VOC20 80.9, " in told


def test_an_unknown_name(capsys):
    assert main(["models", "vit-z-99"]) == 1
    assert "There is no model 'vit-z-99': use one of 'vit-b-16'" in capsys.readouterr().err


@pytest.mark.parametrize("name", registry.MODELS)
def test_entries_say_the_truth(name):
    """Patch size, parameters and methods are those of the networks; licences are given."""
    import torch

    spec = registry.MODELS[name]()
    assert spec.licence and spec.about and spec.methods and set(spec.methods) <= set(METHODS)
    assert all(quoted.method in METHODS and quoted.source for quoted in spec.quoted)
    if spec.config is None:
        return
    config = read_config(spec.config)
    with torch.device("meta"):
        clip = build_siglip(config) if is_siglip(config) else build_clip(config)[0]
    millions = sum(weight.numel() for weight in clip.parameters()) / 1e6
    assert spec.parameters == pytest.approx(millions, abs=0.5)
    assert clip.visual.conv1.kernel_size[0] == spec.patch_size
