# SPDX-License-Identifier: Apache-2.0
"""CLIPer's fine-grained compensation: the chain of attention maps, and the way to its grid."""

from __future__ import annotations

import naive_dinoiser as naive
import naive_methods
import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.cliper import fusion_weight, layer_features
from dinoiser_ros.segmentation.methods.compensation import (
    compensate,
    compensate_batch,
    compensate_image,
    compensation_weights,
)
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.pixels.preprocess import to_batch


def attention_maps(seed: int, heads: int, side: int, sharpness: float = 2.0) -> torch.Tensor:
    """(heads, side^2, side^2), rows sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    scores = sharpness * torch.randn(heads, side**2, side**2, generator=generator)
    return scores.softmax(dim=-1)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.floats(0, 0.9))
def test_chain_against_the_whole_product(seed, layers, heads, attention_thr):
    maps = [attention_maps(seed + index, heads, 3) for index in range(layers)]
    relative = torch.cat(maps) / (torch.cat(maps).amax(dim=-2, keepdim=True) + 1e-5)
    scores = torch.rand(2, 9, generator=torch.Generator().manual_seed(seed))
    got = compensate(scores, maps, attention_thr).numpy()
    assert got.min() >= 0 and got.max() <= scores.max() + 1e-6
    if (relative - attention_thr).abs().min() > 1e-5:  # or rounding decides
        arrays = [layer.double().numpy() for layer in maps]
        wanted = naive_methods.compensation(scores.double().numpy(), arrays, attention_thr)
        np.testing.assert_allclose(got, wanted, atol=1e-4)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 20))
def test_weights_are_at_most_averages(seed, attention_thr, sharpness):
    weights = compensation_weights(attention_maps(seed, 2, 3, sharpness), attention_thr)
    assert torch.isfinite(weights).all() and (weights >= 0).all()
    assert (weights.sum(dim=-1) <= 1 + 1e-5).all()


def test_the_input_does_not_change():
    maps = attention_maps(0, 2, 3)
    before = maps.clone()
    compensate(torch.rand(2, 9), [maps], 0.3)
    assert torch.equal(maps, before)


def test_attention_to_oneself_changes_nothing():
    scores = torch.rand(3, 16)
    got = compensate(scores, [torch.eye(16)[None]], 0.5)
    torch.testing.assert_close(got, scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [4, 16])
@pytest.mark.parametrize(("shape", "grid"), [((48, 80), (3, 5)), ((41, 70), (3, 5))])
def test_the_grid_covers_the_image_without_its_padding(side, shape, grid):
    """Resized as `naive.resize` does it, by pixels of the image for each cell of the square."""
    scores = torch.rand(2, *grid, generator=torch.Generator().manual_seed(0))
    nothing = [torch.eye(side * side)[None]]
    got = compensate_image(scores, nothing, 0.5, 16, shape)
    scale = tuple(16 * side / length for length in shape)
    wanted = naive.resize(scores.double().numpy(), side, side, scale)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-4)


def test_without_padding_it_is_a_plain_resize_to_64():
    """What CLIPer's released code does, whose images are cut to whole patches."""
    scores = torch.rand(1, 2, 3, 5)
    got = compensate_batch(scores, [[torch.eye(64 * 64)[None]]], 0.5, 16, (48, 80))
    wanted = torch.nn.functional.interpolate(scores, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


class FakeDiffusion:
    """Attention maps without a network: each cell of an 8 x 8 grid attends to those like it."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def attention_maps(self, images: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        self.calls.append(tuple(images.shape))
        cells = torch.nn.functional.adaptive_avg_pool2d(images, 8).flatten(2).transpose(1, 2)
        maps = (-50 * torch.cdist(cells, cells)).softmax(dim=-1)
        return [(one[None], one[None]) for one in maps]


@pytest.fixture
def compensated() -> tuple[Segmenter, FakeDiffusion]:
    files = {key: GOLDEN_MODEL[key] for key in ("model", "weights")}
    segmenter = Segmenter(**files, inference_size=0, method="cliper", device="cpu")
    segmenter.set_prompts(GOLDEN_PROMPTS)
    fake = FakeDiffusion()
    segmenter._parts = Parts(segmenter.backbone, diffusion=fake)
    return segmenter, fake


def test_the_method_is_cliper_then_the_chain(compensated, expected):
    """Scores are compensated as the released code has them, and made probabilities afterwards."""
    segmenter, fake = compensated
    image = expected["odd.image_u8"]
    plain = torch.from_numpy(segmenter.probabilities(image))
    batch = to_batch([image], image.shape[:2], segmenter.device)
    dense = segmenter.backbone(batch, METHODS["cliper"].request)
    _, attention = layer_features(segmenter.backbone, dense)
    weight = fusion_weight(attention)[0].unflatten(1, plain.shape[1:])
    segmenter.set_options(method="cliper-diffusion", attention_thr=0.1)
    got = segmenter.probabilities(image)
    assert got.min() >= 0 and got.sum(axis=0).max() <= 1 + 1e-5
    assert fake.calls == [(1, 3, *image.shape[:2])]
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    maps = FakeDiffusion().attention_maps(pixels)[0]
    scores = compensate_image(plain * weight, maps, 0.1, 16, image.shape[:2])
    wanted = scores / compensate_image(weight, maps, 0.1, 16, image.shape[:2])
    assert got.shape == (len(GOLDEN_PROMPTS), 8, 8)
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)


def test_masks_have_the_images_size_and_orientation(compensated):
    """A bright square in a corner: its border in the mask is where it is in the image."""
    segmenter, _ = compensated
    image = np.zeros((60, 100, 3), np.uint8)
    image[30:, 50:] = 255
    segmenter.method = "cliper-diffusion"
    coarse = segmenter.probabilities(image)
    result = segmenter.segment(image)
    assert result.labels.shape == (60, 100)
    wanted = naive.resize(coarse.astype(float), 60, 100, (60 / 8, 100 / 8))
    np.testing.assert_allclose(result.confidence, wanted.max(axis=0), atol=1e-4)
    assert (result.labels == wanted.argmax(axis=0)).mean() > 0.99
