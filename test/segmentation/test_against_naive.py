# SPDX-License-Identifier: Apache-2.0
"""The engine against `naive_dinoiser`: parts on random tensors, and the whole of ViT-B/16."""

from __future__ import annotations

import json

import naive_dinoiser as naive
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from golden_data import GOLDEN_MODEL
from safetensors.torch import load_file

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.background import filter_background
from dinoiser_ros.segmentation.methods.pooling import correlations, guided_pooling
from dinoiser_ros.segmentation.models.loading import LoadedModel
from dinoiser_ros.segmentation.models.registry import ModelSpec
from dinoiser_ros.segmentation.networks.dinoiser_heads import NAMES, DinoiserHeads, heads_from_state
from dinoiser_ros.segmentation.pixels.postprocess import upsample
from dinoiser_ros.segmentation.pixels.preprocess import inference_shape, to_batch

PROMPTS = ["background", "wooden floor", "person", "spilled coffee"]


def random_heads(width: int, channels: int, generator: torch.Generator) -> DinoiserHeads:
    shapes = ((channels, width, 3, 3), (channels,), (1, width, 1, 1), (1,))
    tensors = (0.05 * torch.randn(shape, generator=generator) for shape in shapes)
    return heads_from_state(dict(zip(NAMES, tensors, strict=True)))


def head_arrays(heads: DinoiserHeads) -> naive.Weights:
    return naive.as_arrays(heads.state_dict())


@pytest.fixture(scope="module")
def vit_b_16() -> Segmenter:
    """The real vision tower with seeded random weights; few text layers, which are not compared."""
    torch.manual_seed(16)
    config = open_clip.get_model_config("ViT-B-16")
    config["text_cfg"] |= {"layers": 2, "width": 128, "heads": 2}
    clip = open_clip.CLIP(**config)
    # A randomly initialised text tower tells texts apart hardly at all; wider tokens help it.
    torch.nn.init.normal_(clip.token_embedding.weight, std=1.0)
    torch.nn.init.normal_(clip.text_projection, std=1.0)
    heads = random_heads(768, 256, torch.Generator().manual_seed(1))
    loaded = LoadedModel(clip, open_clip.get_tokenizer("ViT-B-16"), heads)
    segmenter = Segmenter.from_model(loaded, ModelSpec("random", "ViT-B-16"), inference_size=0)
    segmenter.set_prompts(PROMPTS)
    return segmenter


def test_whole_vit_b_16(vit_b_16):
    image = np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)
    weights = naive.as_arrays(vit_b_16._text._clip.state_dict())
    heads = head_arrays(vit_b_16.heads)
    wanted = naive.dense(image, weights, layers=12, heads=12)
    grid = tuple(wanted["grid"])

    got = vit_b_16.backbone(to_batch([image], image.shape[:2], vit_b_16.device))
    assert got.grid == grid == (5, 6)
    scale = np.abs(wanted["features"]).max()
    np.testing.assert_allclose(
        got.features[0].flatten(1).T.numpy() / scale, wanted["features"] / scale, atol=1e-5
    )
    scale = np.abs(wanted["intermediate"]).max()
    np.testing.assert_allclose(
        got.intermediate[0, 1:].numpy() / scale, wanted["intermediate"] / scale, atol=1e-5
    )

    matrix = naive.correlations(wanted["intermediate"], grid, heads)
    pooled = naive.pool(wanted["features"], matrix, gamma=0.2)
    text = vit_b_16.vocabulary.embeddings.double().numpy()
    probabilities = naive.softmax_over_prompts(pooled, text)
    logits = naive.objectness(wanted["intermediate"], heads)
    filtered = naive.filter_background(probabilities, logits, delta=0.99)
    assert 0 < (filtered[:, 0] == 1).sum() < len(filtered), "the filter must change some patches"

    got_filtered = vit_b_16.probabilities(image)
    np.testing.assert_allclose(got_filtered.reshape(len(PROMPTS), -1).T, filtered, atol=1e-4)

    vit_b_16.background_filter = "off"
    result = vit_b_16.segment(image)
    vit_b_16.background_filter = "auto"
    full = naive.resize(probabilities.T.reshape(-1, *grid), 70, 90, (16, 16))
    np.testing.assert_allclose(result.confidence, full.max(axis=0), atol=1e-4)
    assert (result.labels == full.argmax(axis=0)).mean() > 0.999


def test_text_embeddings_average_the_templates(golden):
    clip = open_clip.CLIP(**json.loads(GOLDEN_MODEL["model"].read_text()))
    clip.load_state_dict(load_file(GOLDEN_MODEL["weights"]))
    golden.set_prompts(PROMPTS)
    templates = open_clip.OPENAI_IMAGENET_TEMPLATES
    assert len(templates) == 80
    rows = []
    for template in templates:
        with torch.no_grad():
            row = (
                clip.encode_text(open_clip.tokenize([template("spilled coffee")]))[0]
                .double()
                .numpy()
            )
        rows.append(row / np.linalg.norm(row))
    wanted = np.mean(rows, axis=0)
    wanted /= np.linalg.norm(wanted)
    got = golden.vocabulary.embeddings[PROMPTS.index("spilled coffee")].numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (4, 3)])
def test_heads(rows, columns):
    generator = torch.Generator().manual_seed(rows * columns)
    heads = random_heads(12, 7, generator)
    intermediate = torch.randn(1, 12, rows, columns, generator=generator)
    flat = intermediate[0].flatten(1).T.double().numpy()
    wanted = naive.correlations(flat, (rows, columns), head_arrays(heads))
    got = correlations(heads.embeddings(intermediate))[0]
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)
    logits = naive.objectness(flat, head_arrays(heads))
    np.testing.assert_allclose(heads.objectness(intermediate).flatten().numpy(), logits, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.2, 0.9, 0.999])
def test_guided_pooling(gamma):
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(2, 6, 3, 4, generator=generator)
    embeddings = torch.randn(2, 12, 3, generator=generator)
    got = guided_pooling(features, embeddings, gamma)
    for index in range(2):
        flat = features[index].flatten(1).T.double().numpy()
        unit = F.normalize(embeddings[index].double(), dim=-1).numpy()
        wanted = naive.pool(flat, unit @ unit.T, gamma)
        np.testing.assert_allclose(got[index].flatten(1).T.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_background_filter():
    generator = torch.Generator().manual_seed(6)
    probabilities = torch.softmax(4 * torch.randn(1, 3, 5, 5, generator=generator), dim=1)
    logits = torch.randn(1, 1, 5, 5, generator=generator)
    before = probabilities.clone()
    got = filter_background(probabilities, logits, background=0, delta=0.9)
    wanted = naive.filter_background(
        probabilities[0].flatten(1).T.double().numpy(), logits.flatten().double().numpy(), 0.9
    )
    np.testing.assert_allclose(got[0].flatten(1).T.numpy(), wanted, atol=1e-6)
    assert torch.equal(probabilities, before), "the input must not change"


@pytest.mark.parametrize("size", [(48, 64), (37, 61), (30, 200), (64, 48)])
@pytest.mark.parametrize("shorter", [None, 24, 64])
def test_upsampling_equals_one_bilinear_resize(size, shorter):
    patch = 16
    shape = inference_shape(size, shorter)
    grid = tuple(-(-side // patch) for side in shape)
    coarse = torch.rand(1, 3, *grid, generator=torch.Generator().manual_seed(7))
    scale = tuple(patch * full / inner for full, inner in zip(size, shape, strict=True))
    wanted = naive.resize(coarse[0].double().numpy(), *size, scale)
    got = upsample(coarse, patch, shape, size)
    assert got.shape == (1, 3, *size)
    np.testing.assert_allclose(got[0].numpy(), wanted, atol=2e-5)
