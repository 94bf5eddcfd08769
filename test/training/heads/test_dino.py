# SPDX-License-Identifier: Apache-2.0
"""DINO in every layout that teachers come in, against a naive forward pass."""

from __future__ import annotations

import argparse
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from training_fakes import TINY_DINO, official_dino_state

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.models.building import build_clip
from dinoiser_ros.segmentation.models.dino_files import dino_from_state
from dinoiser_ros.segmentation.networks.dino import MEAN, STD, DinoTower
from dinoiser_ros.segmentation.weights.checkpoint import State
from dinoiser_ros.training.heads.load_teachers import (
    TeacherNames,
    dino_from_timm,
    load_dino,
    load_teachers,
)
from dinoiser_ros.training.heads.teacher import on_grid

CPU = torch.device("cpu")


def naive_block(state: State, index: int, x: torch.Tensor, heads: int, eps: float):
    """Values, keys and CLS attention of a block, and what it gives; x (T, D), one image."""

    def weights(name):
        return state[f"blocks.{index}.{name}.weight"], state[f"blocks.{index}.{name}.bias"]

    width = x.shape[1]
    d = width // heads
    projected = F.linear(F.layer_norm(x, (width,), *weights("norm1"), eps), *weights("attn.qkv"))
    q, k, v = projected[:, :width], projected[:, width : 2 * width], projected[:, 2 * width :]
    mixed, attention = [], []
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        attend = torch.softmax(q[:, part] @ k[:, part].T / math.sqrt(d), dim=-1)
        mixed.append(attend @ v[:, part])
        attention.append(attend[0, 1:])
    x = x + F.linear(torch.cat(mixed, dim=1), *weights("attn.proj"))
    y = F.linear(F.layer_norm(x, (width,), *weights("norm2"), eps), *weights("mlp.fc1"))
    x = x + F.linear(F.gelu(y), *weights("mlp.fc2"))
    return v[1:], k[1:], torch.stack(attention), x


def naive_last_layer(state: State, image: torch.Tensor, heads: int):
    """The last layer of DINO for an image (3, H, W), position table resized as DINO does."""
    patches = F.conv2d(
        image[None],
        state["patch_embed.proj.weight"],
        state["patch_embed.proj.bias"],
        stride=state["patch_embed.proj.weight"].shape[-1],
    )[0]
    rows, columns = patches.shape[1:]
    table = state["pos_embed"][0]
    side = round(math.sqrt(len(table) - 1))
    grid = table[1:].T.reshape(1, -1, side, side)
    if (rows, columns) != (side, side):
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
    x = torch.cat([state["cls_token"][0] + table[:1], (patches + grid[0]).flatten(1).T])
    depth = sum(name.endswith("norm1.weight") for name in state)
    for index in range(depth):
        values, keys, attention, x = naive_block(state, index, x, heads, 1e-6)
    return values, keys, attention


def images(height: int, width: int) -> torch.Tensor:
    """RGB in [0, 1]."""
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def normalised(rgb: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    return (rgb - mean) / std


@pytest.mark.parametrize("size", [(32, 32), (24, 48)], ids=["native", "resized"])
def test_official_layout_against_a_naive_forward(tmp_path, size):
    state = official_dino_state()
    torch.save(state, tmp_path / "dino.pth")
    result = load_dino(str(tmp_path / "dino.pth"))(images(*size))
    assert result.grid == (size[0] // 8, size[1] // 8)
    for index, image in enumerate(images(*size)):
        values, keys, attention = naive_last_layer(state, normalised(image), 2)
        torch.testing.assert_close(result.values[index], values, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(result.keys[index].flatten(1), keys, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(result.cls_attention[index], attention, atol=1e-6, rtol=1e-4)


def test_full_checkpoints_and_classifiers_load_as_well(tmp_path):
    state = official_dino_state()
    expected = dino_from_state(state, "it", fused=True)(images(32, 32))
    teacher = {f"backbone.{name}": tensor for name, tensor in state.items()}
    teacher["head.mlp.0.weight"] = torch.zeros(3, 3)
    full = {"teacher": teacher, "epoch": 3, "args": argparse.Namespace(arch="vit_base")}
    torch.save(full, tmp_path / "full.pth")
    classifier = {**state, "head.weight": torch.zeros(10, 128), "head.bias": torch.zeros(10)}
    for dino in (
        load_dino(str(tmp_path / "full.pth")),
        dino_from_state(classifier, "it", fused=True),
    ):
        assert torch.equal(dino(images(32, 32)).values, expected.values)


def test_timm_layout_against_timm(monkeypatch):
    timm = pytest.importorskip("timm")
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model = VisionTransformer(32, 8, embed_dim=64, depth=3, num_heads=4, num_classes=0).eval()
    torch.nn.init.normal_(model.cls_token)
    monkeypatch.setattr(timm, "create_model", lambda name, **_: model)
    seen = []
    model.blocks[-1].attn.qkv.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        model(normalised(images(32, 32)))
    result = load_dino("vit_tiny.dino")(images(32, 32))
    _, keys, values = seen[0][:, 1:].chunk(3, dim=-1)
    torch.testing.assert_close(result.values, values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.keys.flatten(2), keys, atol=1e-5, rtol=1e-4)
    with pytest.raises(WeightsError, match="blocks.0.ls1.gamma"):
        dino_from_timm(
            VisionTransformer(32, 8, embed_dim=64, depth=1, num_heads=4, init_values=1.0), "it"
        )


def test_timm_may_be_missing_and_the_network_off(monkeypatch):
    with pytest.raises(WeightsError, match="switched off"):
        load_dino("vit_base_patch16_224.dino", offline=True)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(WeightsError, match="pip install timm"):
        load_dino("vit_base_patch16_224.dino")


def test_open_clip_layout_against_the_naive_forward():
    torch.manual_seed(0)
    vision = build_clip(TINY_DINO)[0].visual.eval()
    table = vision.positional_embedding
    normed = DinoTower(vision)
    names = {"ln_1": "norm1", "ln_2": "norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    state = {}
    for name, tensor in vision.transformer.resblocks.state_dict().items():
        for theirs, ours in {**names, "attn.out_proj": "attn.proj"}.items():
            name = name.replace(theirs, ours)
        state["blocks." + name.replace("in_proj_", "qkv.")] = tensor
    pixels = normalised(images(48, 48))
    patches = vision.conv1(pixels).flatten(2).transpose(1, 2)[0]
    x = vision.ln_pre(torch.cat([vision.class_embedding[None], patches]) + table).detach()
    for index in range(2):
        values, keys, attention, x = naive_block(state, index, x, 2, 1e-5)
    result = normed(images(48, 48))
    torch.testing.assert_close(result.values[0], values, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.keys[0].flatten(1), keys, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.cls_attention[0], attention, atol=1e-6, rtol=1e-4)


def test_maps_change_grids_by_averaging():
    maps = torch.arange(16.0).reshape(1, 16, 1)
    assert on_grid(maps, (4, 4), (4, 4)) is maps
    constant = torch.full((1, 16, 3), 2.5)
    torch.testing.assert_close(on_grid(constant, (4, 4), (2, 3)), torch.full((1, 6, 3), 2.5))
    halved = on_grid(maps, (4, 4), (2, 2))[0, :, 0]
    assert halved.tolist() == sorted(halved.tolist()) and halved.mean() == pytest.approx(7.5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pos_embed": None}, "lacks pos_embed"),
        ({"blocks.1.norm2.bias": None}, "missing: blocks.1.norm2.bias"),
        ({"blocks.0.attn.q_norm.weight": torch.ones(64)}, "unknown: blocks.0.attn.q_norm"),
        ({"pos_embed": torch.zeros(1, 20, 128)}, "no square and CLS"),
        ({"patch_embed.proj.weight": torch.zeros(100, 3, 8, 8)}, "no multiple of 64"),
    ],
)
def test_other_checkpoints_are_refused(change, reason):
    state = {**official_dino_state(), **change}
    with pytest.raises(WeightsError, match=reason):
        dino_from_state({n: t for n, t in state.items() if t is not None}, "it")


def test_teachers_by_local_files(tmp_path):
    torch.save(official_dino_state(), tmp_path / "dino.pth")
    decoder = {"weight": torch.randn(1, 128, 1, 1), "bias": torch.zeros(1)}
    torch.save({"decoder": decoder}, tmp_path / "decoder_weights.pt")
    dino = str(tmp_path / "dino.pth")
    names = TeacherNames(dino, str(tmp_path / "decoder_weights.pt"), dino)
    teachers = load_teachers(names, CPU)
    assert teachers.dino is teachers.found_dino, "one network is loaded once"
    assert teachers.found(teachers.dino(images(32, 32))).shape == (2, 16)
    with pytest.raises(WeightsError, match="does not exist"):
        load_dino(str(tmp_path / "nothing.pth"))
    with pytest.raises(WeightsError, match="switched off"):
        load_teachers(TeacherNames(), CPU, offline=True)
    assert TeacherNames().found_reads == "dino-vit-s-8"
    assert TeacherNames(dino, "seed").found_reads == dino
