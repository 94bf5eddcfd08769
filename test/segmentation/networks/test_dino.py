# SPDX-License-Identifier: Apache-2.0
"""DINO towers: the same numbers as timm's, from every form that its weights come in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from dino_files import HEADS, WIDTH, tiny_dino, write_dino
from golden_data import GOLDEN, GOLDEN_MODEL
from safetensors.torch import load_file, save_file

from dinoiser_ros.segmentation import Segmenter, WeightsError
from dinoiser_ros.segmentation.models.building import build_clip, read_config
from dinoiser_ros.segmentation.models.loading import load_dino
from dinoiser_ros.segmentation.networks import vit
from dinoiser_ros.segmentation.networks.dino import MEAN, STD, DinoTower, embedded
from dinoiser_ros.training.heads.load_teachers import load_dino as load_teacher

TIMM = "vit_base_patch16_224.dino"


@pytest.fixture(scope="module")
def clip():
    """A backbone with patches of 16 pixels."""
    return build_clip(read_config(GOLDEN / "golden-small.json"))[0]


@torch.no_grad()
def by_timm(model: torch.nn.Module, images: torch.Tensor):
    """Values, keys and CLS attention, with timm's blocks; images in [0, 1] on whole patches."""
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    patches = model.patch_embed.proj((images - mean) / std)
    positions = model.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    if patches.shape[2:] != (4, 4):  # as DINO's own code does it, see `DinoTower`
        scale = tuple((n + 0.1) / 4 for n in patches.shape[2:])
        positions = F.interpolate(positions, scale_factor=scale, mode="bicubic")
    x = (patches + positions).flatten(2).transpose(1, 2)
    cls = (model.cls_token + model.pos_embed[:, :1]).expand(len(x), -1, -1)
    x = torch.cat([cls, x], dim=1)
    for block in model.blocks[:-1]:
        x = block(x)
    last = model.blocks[-1]
    q, k, v = last.attn.qkv(last.norm1(x)).chunk(3, dim=-1)
    size, rows = WIDTH // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, 0, None, part] @ k[:, :, part].transpose(1, 2) / size**0.5
        rows.append(scores.softmax(dim=-1)[:, 0, 1:])
    return v[:, 1:], k[:, 1:].unflatten(-1, (HEADS, size)), torch.stack(rows, dim=1)


@pytest.mark.parametrize("grid", [(4, 4), (3, 6)])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_same_numbers_as_timm(tmp_path, clip, grid, kind):
    model = tiny_dino()
    path = tmp_path / f"dino.{kind}"
    if kind == "pth":
        torch.save(model.state_dict(), path)
    else:
        write_dino(path)
    images = torch.rand(2, 3, 16 * grid[0], 16 * grid[1])
    tower = load_dino(path, clip)
    for got, wanted in zip(tower(images)[:3], by_timm(model, images), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4 * wanted.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("grid", [(4, 4), (3, 6), (7, 5)])
def test_teacher_and_runtime_see_the_same(tmp_path, clip, grid):
    """The heads learn from what `dinoiser-dino` pools with, also away from DINO's own grid."""
    path = write_dino(tmp_path / "dino.safetensors")
    images = torch.rand(2, 3, 16 * grid[0], 16 * grid[1])
    runtime, teacher = load_dino(path, clip)(images), load_teacher(str(path))(images)
    for one, other in zip(runtime[:3], teacher[:3], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * one.abs().max().item(), rtol=1e-4)


def test_the_embedded_one_is_resized_exactly_as_it_was_trained():
    tower = Segmenter(model="demo", method="dinoiser-dino", device="cpu").dino
    pixels = torch.rand(1, 3, 40, 64)
    table = tower.visual.positional_embedding
    side = round((len(table) - 1) ** 0.5)
    square = table[1:].T.reshape(1, -1, side, side)
    exact = F.interpolate(square, size=(5, 8), mode="bicubic", align_corners=False)
    wanted = vit.embed(tower.visual, pixels, exact[0].flatten(1).T)
    assert torch.equal(embedded(tower.visual, pixels, tower.extra), wanted)


def test_images_of_any_size_are_padded_as_for_the_backbone(tmp_path, clip):
    tower = load_dino(write_dino(tmp_path / "dino.safetensors"), clip)
    images = torch.rand(1, 3, 30, 50)
    padded = F.pad(images, (0, 14, 0, 2))
    for one, other in zip(tower(images)[:3], tower(padded)[:3], strict=True):
        assert torch.equal(one, other)
    assert tower(images).values.shape == (1, 2 * 4, WIDTH) and tower(images).grid == (2, 4)


def test_the_embedded_one_is_loaded_by_the_same_door():
    segmenter = Segmenter(model="demo", method="dinoiser-dino", device="cpu")
    assert isinstance(segmenter.dino, DinoTower) and segmenter.dino.patch_size == 8


def test_lower_precision(tmp_path, clip):
    tower = load_dino(write_dino(tmp_path / "dino.safetensors"), clip)
    images = torch.rand(1, 3, 48, 64)
    wanted = tower(images).values
    got = tower.to(torch.device("cpu"), torch.bfloat16)(images).values
    assert got.dtype == torch.float32
    assert (F.cosine_similarity(got, wanted, dim=-1) > 0.99).all()


def changed(path, change):
    state = load_file(write_dino(path))
    change(state)
    save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("cls_token"), "missing: cls_token"),
        (lambda state: state.pop("blocks.1.attn.qkv.bias"), "missing: blocks.1.attn.qkv.bias"),
        (lambda state: state.update({"blocks.0.ls1.gamma": torch.ones(WIDTH)}), "ls1.gamma"),
        (
            lambda state: state.update({"pos_embed": torch.zeros(1, 12, WIDTH)}),
            "12 positions, no square",
        ),
        (lambda state: state.pop("pos_embed"), f"lacks pos_embed.*{TIMM}"),
    ],
)
def test_other_files_are_refused_with_a_sentence(tmp_path, clip, change, reason):
    path = changed(tmp_path / "dino.safetensors", change)
    with pytest.raises(WeightsError, match=reason):
        load_dino(path, clip)


def test_other_patches_are_refused(tmp_path, clip):
    with pytest.raises(WeightsError, match=r"patches of 8 pixels.*patches of 16"):
        load_dino(write_dino(tmp_path / "dino.safetensors", patch_size=8), clip)


def test_a_missing_dino_is_said_before_anything_is_loaded():
    with pytest.raises(WeightsError, match=rf"no DINO of its own.*`dino`.*{TIMM}"):
        Segmenter(**GOLDEN_MODEL, method="dinoiser-dino")
    with pytest.raises(WeightsError, match="nowhere"):
        Segmenter(**GOLDEN_MODEL, dino="/nowhere/dino.pth")
