# SPDX-License-Identifier: Apache-2.0
"""Weights of the right shape that are no weights: refused where they are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dino_files import write_dino
from golden_data import GOLDEN, GOLDEN_MODEL
from safetensors.torch import load_file, save_file
from torch import Tensor

from dinoiser_ros.segmentation import PromptError, Segmenter, WeightsError
from dinoiser_ros.segmentation.weights.tensor_checks import check_module
from dinoiser_ros.training.heads.found import found_head_from_state

CLIP, HEADS = GOLDEN / "clip.safetensors", GOLDEN / "heads.safetensors"


def load(**changes: object) -> Segmenter:
    return Segmenter(**{**GOLDEN_MODEL, "device": "cpu", **changes})


def spoilt(source: Path, target: Path, name: str, change: Callable[[Tensor], Tensor]) -> Path:
    """A copy of a file of weights with one tensor changed."""
    state = load_file(source)
    state[name] = change(state[name].clone())
    if target.suffix == ".safetensors":
        save_file(state, target)
    else:
        torch.save(state, target)
    return target


def with_one(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return change


@pytest.fixture(params=["weights.safetensors", "weights.pt"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name",
    [
        "visual.conv1.weight",
        "visual.ln_post.bias",
        "visual.transformer.resblocks.1.attn.in_proj_weight",
    ],
)
def test_clip_with_a_value_that_is_not_finite(target: Path, name: str, value: float) -> None:
    with pytest.raises(WeightsError, match=rf"values in {name} that are not finite"):
        load(weights=spoilt(CLIP, target, name, with_one(value)))


def test_a_text_tower_that_is_not_finite(tmp_path: Path) -> None:
    """It is read when a prompt is first embedded."""
    path = spoilt(CLIP, tmp_path / "a.safetensors", "ln_final.weight", with_one(math.nan))
    with pytest.raises(PromptError, match=r"a\.safetensors has values in ln_final\.weight"):
        load(weights=path).set_prompts(["floor", "wall"])


@pytest.mark.parametrize("name", ["obj_proj.weight", "obj_proj.bias", "bkg_decoder.weight"])
def test_heads_with_a_value_that_is_not_finite(target: Path, name: str) -> None:
    with pytest.raises(WeightsError, match=rf"values in {name} that are not finite"):
        load(heads=spoilt(HEADS, target, name, with_one(math.nan)))


def test_dino_with_a_value_that_is_not_finite(target: Path, tmp_path: Path) -> None:
    whole = write_dino(tmp_path / "dino.safetensors")
    path = spoilt(whole, target, "pos_embed", with_one(math.inf))
    with pytest.raises(WeightsError, match=r"positional_embedding that are not finite"):
        load(dino=path, method="dinoiser-dino")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.bool, torch.int64])
def test_quantised_weights(target: Path, kind: torch.dtype) -> None:
    """Integers without their scales would be read as weights of up to 127."""
    said = str(kind).removeprefix("torch.")
    path = spoilt(CLIP, target, "visual.proj", lambda t: (t * 100).to(kind))
    with pytest.raises(WeightsError, match=rf"\(other type: visual\.proj is {said}\)"):
        load(weights=path)
    path = spoilt(HEADS, target, "obj_proj.weight", lambda t: (t * 100).to(kind))
    with pytest.raises(WeightsError, match=rf"\(other type: obj_proj\.weight is {said}\)"):
        load(heads=path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.to(torch.complex64), "complex64"),
        (lambda t: t.to_sparse(), "sparse"),
        (lambda t: t.to("meta"), "meta"),
    ],
)
def test_tensors_that_only_pytorch_can_store(
    tmp_path: Path, change: Callable[[Tensor], Tensor], said: str
) -> None:
    path = spoilt(CLIP, tmp_path / "clip.pt", "visual.proj", change)
    with pytest.raises(WeightsError, match=rf"visual\.proj is {said}|cannot be read"):
        load(weights=path)


def test_matrices_of_zeros(target: Path) -> None:
    """As where a download that reserves its place first was cut off."""
    path = spoilt(CLIP, target, "visual.conv1.weight", torch.zeros_like)
    with pytest.raises(WeightsError, match=r"nothing but zeros in visual\.conv1\.weight"):
        load(weights=path)


@pytest.mark.parametrize(
    "name", ["visual.ln_post.weight", "visual.transformer.resblocks.0.ln_1.weight"]
)
def test_scales_of_zeros(target: Path, name: str) -> None:
    """All features are the same then, and every pixel is one class, with confidence."""
    with pytest.raises(WeightsError, match=rf"nothing but zeros in {name}"):
        load(weights=spoilt(CLIP, target, name, torch.zeros_like))


def test_values_beyond_float32(target: Path) -> None:
    path = spoilt(CLIP, target, "visual.proj", lambda t: t.double() * 1e300)
    with pytest.raises(WeightsError, match=r"visual\.proj that are not finite"):
        load(weights=path)


def test_large_values_are_read(target: Path) -> None:
    """Their sum is not finite, but each of them is."""
    path = spoilt(CLIP, target, "visual.proj", lambda t: torch.full_like(t.float(), 3e38))
    assert load(weights=path).backbone is not None


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_floating_point_types_are_read(target: Path, kind: torch.dtype) -> None:
    path = spoilt(CLIP, target, "visual.proj", lambda t: t.to(kind))
    assert load(weights=path).backbone is not None


@pytest.mark.parametrize("name", ["gamma", "delta"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1e9", "1.0001", "-0.1"])
def test_thresholds_of_heads_out_of_range(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "heads.safetensors"
    save_file(load_file(HEADS), path, metadata={name: value})
    with pytest.raises(WeightsError, match=rf"has {name} .* from 0 to 1"):
        load(heads=path)


@pytest.mark.parametrize("layer", ["12345678901234567890123", "-1", "9", "1.5", "nan"])
def test_blocks_that_heads_cannot_have_been_trained_on(tmp_path: Path, layer: str) -> None:
    path = tmp_path / "heads.safetensors"
    save_file(load_file(HEADS), path, metadata={"intermediate_layer": layer})
    with pytest.raises(
        ValueError if layer not in ("1.5", "nan") else WeightsError, match="layer|metadata"
    ):
        load(heads=path)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("weight", with_one(math.nan), "not finite"),
        ("bias", with_one(math.inf), "not finite"),
        ("weight", torch.zeros_like, "nothing but zeros"),
        ("weight", lambda tensor: (tensor * 100).to(torch.int8), "other type: weight is int8"),
    ],
)
def test_the_head_of_found(name: str, change: Callable[[Tensor], Tensor], said: str) -> None:
    state = {"decoder.weight": torch.ones(1, 6, 1, 1), "decoder.bias": torch.ones(1)}
    assert found_head_from_state(state, 6, "decoder_weights.pt").weight.shape == (1, 6)
    state[f"decoder.{name}"] = change(state[f"decoder.{name}"])
    with pytest.raises(WeightsError, match=f"decoder_weights.pt .*{said}"):
        found_head_from_state(state, 6, "decoder_weights.pt")


def test_a_network_that_a_library_has_loaded() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.GroupNorm(1, 2))
    check_module(network, "Stable Diffusion")
    with torch.no_grad():
        network[0].weight[1, 2] = math.nan
    with pytest.raises(WeightsError, match="Stable Diffusion has values in 0.weight"):
        check_module(network, "Stable Diffusion")
    network[0].weight = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.int8), requires_grad=False)
    with pytest.raises(WeightsError, match="int8 values in 0.weight: give .* not quantised"):
        check_module(network, "Stable Diffusion")
