# SPDX-License-Identifier: Apache-2.0
"""A method gets what it asked for from one pass of the backbone, and nothing else is computed."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from dino_files import write_dino
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from torch.utils.flop_counter import FlopCounterMode

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.networks import blocks
from dinoiser_ros.segmentation.networks import clip_backbone as backbone_module
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, Request
from dinoiser_ros.segmentation.networks.dino import DinoTower

# What each method may have computed, and DINO's passes for it with the options as they come.
ASKED = {
    "maskclip": {"features"},
    "maskclip-pd": {"features"},
    "maskclip-ks": {"features", "keys"},
    "maskclip-ks-pd": {"features", "keys"},
    "dinoiser": {"features", "intermediate"},
    "dinoiser-dino": {"features", "intermediate"},
    "dinoiser-keys": {"features", "intermediate", "keys"},
    "dinoiser-keys-predictions": {"features", "intermediate", "keys"},
    "cliper": {"attention", "layers"},
    "cliper-diffusion": {"attention", "layers"},
    "talk2dino": {"features", "cls_scores"},
    "maskclip+": set(),
}
RUNNABLE = sorted(set(METHODS) - {"cliper-diffusion", "talk2dino", "maskclip+"})


def make(folder: Path, precision: str) -> Segmenter:
    dino = write_dino(folder / "dino.safetensors")
    made = Segmenter(**GOLDEN_MODEL, inference_size=0, dino=dino, device="cpu", precision=precision)
    made.set_prompts(GOLDEN_PROMPTS)
    return made


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    return make(tmp_path_factory.mktemp("dino"), "float32")


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def low(request, tmp_path_factory) -> Segmenter:
    return make(tmp_path_factory.mktemp("dino"), request.param)


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)


def test_requests_are_as_listed():
    assert set(METHODS) == set(ASKED)
    for name, entry in METHODS.items():
        asked = {field for field, value in vars(entry.request or object).items() if value is True}
        assert asked == ASKED[name], name


@pytest.mark.parametrize("name", RUNNABLE)
def test_only_what_was_asked_for_is_there(segmenter, name):
    dense = segmenter.backbone(torch.rand(1, 3, 48, 64), METHODS[name].request)
    there = {f.name for f in dataclasses.fields(dense) if getattr(dense, f.name) is not None}
    assert there == ASKED[name] | {"grid", "prefix"} and dense.grid == (3, 4)


@pytest.mark.parametrize("name", RUNNABLE)
def test_one_pass_of_each_network(segmenter, name, monkeypatch):
    calls = []
    for kind, label in ((backbone_module.Backbone, "backbone"), (DinoTower, "dino")):
        original = kind.__call__

        def counted(self, *arguments, original=original, label=label):
            calls.append(label)
            return original(self, *arguments)

        monkeypatch.setattr(kind, "__call__", counted)
    segmenter.set_options(method=name, background_source="objectness")
    segmenter.segment(picture())
    assert calls == ["backbone"] + ["dino"] * (name == "dinoiser-dino")
    if METHODS[name].filters_background:
        calls.clear()
        segmenter.background_source = "found"
        segmenter.segment(picture())
        assert calls == ["backbone", "dino"], "pooling and background share DINO's pass"


@pytest.mark.parametrize("name", ["maskclip", "dinoiser"])
def test_plain_methods_never_see_keys_or_attention_maps(segmenter, name, monkeypatch):
    projected = []
    original = blocks.projection

    def recorded(attn, x, index):
        projected.append(index)
        return original(attn, x, index)

    def forbidden(*arguments):
        raise AssertionError("attention maps were not asked for")

    for module in (blocks, backbone_module):
        monkeypatch.setattr(module, "projection", recorded)
    monkeypatch.setattr(blocks, "attention_maps", forbidden)
    segmenter.set_options(method=name, background_source="objectness")
    segmenter.segment(picture())
    assert projected == [2], "the last block's values, once"


def multiplications(segmenter: Segmenter, request: Request) -> int:
    backbone = Backbone(segmenter.backbone.visual, plain=True)  # whose operators can be counted
    with FlopCounterMode(display=False) as counter:
        backbone(torch.zeros(1, 3, 48, 64), request)
    return counter.get_total_flops()


def test_the_cost_of_what_is_asked_for(segmenter):
    """Keys cost one projection; intermediate features nothing, they lie on the way."""
    tokens, width, dim = 1 + 3 * 4, 64, 32
    plain = multiplications(segmenter, Request(intermediate=False))
    assert multiplications(segmenter, Request()) == plain
    keys = multiplications(segmenter, Request(keys=True)) - plain
    assert keys == 2 * tokens * width * width
    layers = multiplications(segmenter, Request(features=False, intermediate=False, layers=True))
    last_block = (2 + 8) * 2 * tokens * width * width + 2 * tokens * width * dim
    assert layers == plain - last_block


def test_the_two_ways_through_attention_agree(segmenter):
    """Written out with its maps, or fused: the features are the same."""
    images = torch.rand(1, 3, 48, 80)
    fused = segmenter.backbone(images, Request())
    written_out = segmenter.backbone(images, Request(attention=True))
    torch.testing.assert_close(fused.features, written_out.features, atol=1e-5, rtol=1e-4)
    sums = written_out.attention.sum(dim=-1)
    torch.testing.assert_close(sums, torch.full_like(sums, 4.0))  # a map for each block before it


def test_positions_are_kept_apart_by_how_they_were_resized(segmenter):
    images = torch.rand(1, 3, 48, 80)
    bicubic = segmenter.backbone(images, Request()).features
    bilinear = segmenter.backbone(images, Request(positions="bilinear")).features
    assert not torch.allclose(bicubic, bilinear, atol=1e-4)
    assert torch.equal(segmenter.backbone(images, Request()).features, bicubic)


def test_methods_change_while_other_threads_segment(segmenter):
    """Every result is that of one of the methods, whole."""
    segmenter.set_options(method="maskclip", background_source="found")
    wanted = {}
    for name in RUNNABLE:
        segmenter.method = name
        wanted[name] = segmenter.segment(picture()).confidence
    wrong, stop = [], threading.Event()

    def segment() -> None:
        while not stop.is_set():
            got = segmenter.segment(picture()).confidence
            if not any(np.abs(got - one).max() < 1e-4 for one in wanted.values()):
                wrong.append(got)

    threads = [threading.Thread(target=segment) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(2 * len(RUNNABLE)):
        segmenter.method = RUNNABLE[round_ % len(RUNNABLE)]
        segmenter.segment(picture())
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", RUNNABLE)
def test_lower_precision_agrees(segmenter, low, name):
    for one in (segmenter, low):
        one.set_options(method=name, background_source="found")
    difference = np.abs(low.probabilities(picture()) - segmenter.probabilities(picture()))
    assert np.median(difference) < 0.05


@pytest.mark.parametrize("name", RUNNABLE)
def test_no_method_changes_a_network(segmenter, name):
    networks = (segmenter.backbone.visual, segmenter.dino.visual)
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]
    segmenter.set_options(method=name, background_source="found")
    segmenter.segment(picture())
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
        assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (33, 17)])
def test_odd_sizes(segmenter, name, size):
    segmenter.set_options(method=name, background_source="found")
    result = segmenter.segment(picture()[:1, :1].repeat(size[0], 0).repeat(size[1], 1))
    assert result.labels.shape == size and np.isfinite(result.confidence).all()
    assert result.confidence.min() >= 0 and result.confidence.max() <= 1
