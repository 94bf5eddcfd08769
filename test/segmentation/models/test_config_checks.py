# SPDX-License-Identifier: Apache-2.0
"""Configs that no network should be built of: refused in a moment, in a sentence."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from golden_data import GOLDEN, GOLDEN_MODEL
from safetensors.torch import load_file, save_file

from dinoiser_ros.segmentation import Segmenter, WeightsError
from dinoiser_ros.segmentation.models.building import read_config
from dinoiser_ros.segmentation.models.dino_files import read_dino
from dinoiser_ros.segmentation.networks.open_clip_parts import model_config

CONFIG = json.loads((GOLDEN / "golden-small.json").read_text())
NUMBERS = [100_000, 0, -1, 10**9, 1e308, float("nan"), float("inf"), 10**30, "many", None, True, {}]
PLACES = [
    ("embed_dim",),
    *(("vision_cfg", key) for key in ("layers", "width", "patch_size", "image_size", "mlp_ratio")),
    *(("text_cfg", key) for key in ("layers", "width", "heads", "context_length", "vocab_size")),
    ("vision_cfg", "head_width"),
]


def refused(config: Any, folder: Path) -> str:
    """The sentence that a config is refused with; to build it would take many minutes."""
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    start = time.monotonic()
    with pytest.raises(WeightsError) as error:
        Segmenter(**{**GOLDEN_MODEL, "model": path}, device="cpu")
    assert time.monotonic() - start < 60
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("value", NUMBERS, ids=str)
@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_sizes_that_are_not_the_weights(tmp_path: Path, place: tuple[str, ...], value: Any) -> None:
    config = copy.deepcopy(CONFIG)
    part = config[place[0]] if len(place) == 2 else config
    part[place[-1]] = value
    refused(config, tmp_path)


def test_nested_and_long_ones(tmp_path: Path) -> None:
    assert "cannot be read as JSON" in refused("[" * 100_000 + "]" * 100_000, tmp_path)
    nested: Any = 1
    for _ in range(50):
        nested = {"a": nested}
    assert "nested too deeply" in refused({**CONFIG, "more": nested}, tmp_path)
    assert "too long" in refused({**CONFIG, "more": [1] * 600}, tmp_path)
    assert "too large" in refused(" " * (1 << 21), tmp_path)


@pytest.mark.parametrize(
    "part",
    [{"timm_model_name": "vit_giant"}, {"attentional_pool": True}, {"layers": [9, 9, 9, 9]}],
    ids=str,
)
def test_networks_of_another_kind(tmp_path: Path, part: dict[str, Any]) -> None:
    config = {**CONFIG, "vision_cfg": CONFIG["vision_cfg"] | part}
    assert "not supported" in refused(config, tmp_path)
    config = {**CONFIG, "text_cfg": {"hf_model_name": "xlm-roberta-base"}}
    assert "hf_model_name, which is not supported" in refused(config, tmp_path)


def test_a_name_that_no_network_has(tmp_path: Path) -> None:
    config = {**CONFIG, "vision_cfg": CONFIG["vision_cfg"] | {"depth": 3}}
    assert "plain OpenCLIP model" in refused(config, tmp_path)


@pytest.mark.parametrize("layers", [100_000, 0])
def test_the_config_of_a_dino(tmp_path: Path, layers: int) -> None:
    state = load_file(GOLDEN / "clip.safetensors")
    weights = tmp_path / "dino.safetensors"
    save_file({n: t for n, t in state.items() if n.startswith("visual.")}, weights)
    path = tmp_path / "dino.json"
    path.write_text(json.dumps(CONFIG | {"text_cfg": {"layers": 100_000}}))
    assert read_dino(weights, path).width == 64  # its text tower is not built
    path.write_text(json.dumps(CONFIG | {"vision_cfg": CONFIG["vision_cfg"] | {"layers": layers}}))
    with pytest.raises(WeightsError, match="does not fit|has to be positive"):
        read_dino(weights, path)


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-B-16-quickgelu", "ViT-L-14-336", "ViT-bigG-14"])
def test_configs_of_open_clip_are_accepted(name: str) -> None:
    assert model_config(name) is not None
    assert read_config(name)["embed_dim"] > 0
