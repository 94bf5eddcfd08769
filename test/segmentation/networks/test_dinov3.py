# SPDX-License-Identifier: Apache-2.0
"""DINOv3 under Talk2DINO against its authors' code, with seeded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_data import golden_arrays
from seeded_weights import write_state
from talk2dino_files import CPU, PROMPTS, dinov3_state, near, write_talk2dino_on_dinov3

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.export.graph import Graph
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.networks.clip_backbone import Request
from dinoiser_ros.segmentation.networks.dinov3.rotation import default_periods, rotation, turned
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

IMAGES = ("square", "wide")


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays("dinov3")


@pytest.fixture(scope="module")
def model(golden, tmp_path_factory) -> Path:
    """The files of Talk2DINO's small model, with a DINOv3 in the place of its DINOv2."""
    clip = golden_arrays("talk2dino")
    return write_talk2dino_on_dinov3(tmp_path_factory.mktemp("files"), clip, golden)


@pytest.fixture(scope="module")
def segmenter(model) -> Segmenter:
    segmenter = Segmenter(model, method="talk2dino", **CPU)
    segmenter.set_prompts(PROMPTS)
    return segmenter


@pytest.mark.parametrize("image", IMAGES)
def test_features_and_attention(golden, segmenter, image):
    picture = golden[f"{image}.image_u8"]
    batch = to_batch([picture], picture.shape[:2], segmenter.device)
    dense = segmenter.backbone(batch, Request(intermediate=False, cls_scores=True))
    near(dense.features[0].numpy(), golden[f"{image}.features"])
    near(dense.cls_scores[0].numpy(), golden[f"{image}.cls_scores"])


@pytest.mark.parametrize("image", IMAGES)
def test_scores_and_background_cleaning(golden, segmenter, image):
    picture = golden[f"{image}.image_u8"]
    segmenter.set_prompts(PROMPTS)
    near(segmenter.probabilities(picture), golden[f"{image}.scores"])
    segmenter.set_prompts(["background", *PROMPTS])
    near(segmenter.probabilities(picture)[1:], golden[f"{image}.cleaned"])


def test_in_bfloat16_places_are_still_exact(golden, model):
    """Angles in 8 bits would be wrong by a patch; the rest is rounded as in other models."""
    low = Segmenter(model, method="talk2dino", **{**CPU, "precision": "bfloat16"})
    assert low.backbone._position((3, 5), "bicubic").dtype == torch.float32
    picture = golden["wide.image_u8"]
    batch = to_batch([picture], picture.shape[:2], low.device)
    features = low.backbone(batch, Request(intermediate=False)).features[0].float().numpy()
    wanted = golden["wide.features"]
    assert np.abs(features - wanted).mean() < 0.02 * np.abs(wanted).max()


def test_products_depend_on_the_distance_of_patches_alone():
    table = rotation((1, 6), default_periods(8), 0)
    rows = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    queries, keys = rows[0].expand(1, 6, 8), rows[1].expand(1, 6, 8)
    both = turned(torch.cat([queries, keys, keys], dim=-1), table)
    scores = (both[..., :8] @ both[..., 8:16].transpose(1, 2))[0]
    for distance in range(-5, 6):
        along = scores.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-5, rtol=0)
    assert (scores[0, 1:] - scores[0, 0]).abs().min() > 1e-3
    torch.testing.assert_close(both[..., 16:], keys)


def test_an_exported_graph_computes_the_same(golden, segmenter):
    picture = golden["wide.image_u8"]
    segmenter.set_prompts(PROMPTS)
    segmenter.background_filter = "off"
    graph = Graph(segmenter)
    batch = to_batch([picture], picture.shape[:2], segmenter.device)
    texts = segmenter.vocabulary.embeddings[:, None]
    near(graph(batch, texts)[0][0].numpy(), golden["wide.scores"])
    segmenter.background_filter = "auto"


@pytest.mark.parametrize("biased", [True, False])
def test_the_layout_of_timm(golden, model, segmenter, tmp_path, biased):
    """Its files lack the periods, have biases of queries and values apart, or none."""
    state, timm = dinov3_state(golden), {}
    for name, tensor in state.items():
        if name.endswith(("mask_token", "bias_mask", "periods")):
            continue
        if name.endswith("attn.qkv.bias"):
            block = name.removesuffix("qkv.bias")
            query, _, value = tensor.chunk(3)
            if biased:
                timm |= {f"{block}q_bias": query.clone(), f"{block}v_bias": value.clone()}
            else:
                state[name] = torch.zeros_like(tensor)
            continue
        name = name.replace("storage_tokens", "reg_token")
        timm[name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")] = tensor
    place = write_state(tmp_path / "timm.safetensors", timm)
    other = Segmenter(model, weights=place, method="talk2dino", **CPU)
    authors = write_state(tmp_path / "authors.pth", state)
    same = Segmenter(model, weights=authors, method="talk2dino", **CPU)
    picture = golden["wide.image_u8"]
    for one in (other, same):
        one.set_prompts(PROMPTS)
    near(other.probabilities(picture), same.probabilities(picture))
    if biased:
        near(other.probabilities(picture), golden["wide.scores"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("blocks.1.ls1.gamma", "missing"),
        ("blocks.0.attn.qkv.bias", "shape"),
        ("blocks.2.attn.proj.weight", "shape"),
        ("rope_embed.periods", "shape"),
        ("blocks.0.attn.qkv.weight", "missing"),
        ("norm.weight", "nan"),
        ("something.else", "more"),
    ],
)
def test_bad_files_are_refused(golden, model, tmp_path, name, change):
    state = dinov3_state(golden)
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = state[name][:-1].clone()
    else:
        state[name] = torch.full((3,), torch.nan) if change == "more" else state[name] * torch.nan
    place = write_state(tmp_path / "dinov3.pth", state)
    with pytest.raises(WeightsError, match="lacks|not fit|no DINOv3|finite|another length"):
        Segmenter(model, weights=place, method="talk2dino", **CPU)
