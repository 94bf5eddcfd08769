# SPDX-License-Identifier: Apache-2.0
"""PAMR against loops over pixels, and as an option of every method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL

from dinoiser_ros.errors import ExportError
from dinoiser_ros.export.graph import Graph
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.cost import FrameKind, frame_memory, frame_seconds
from dinoiser_ros.segmentation.pixels import pamr
from dinoiser_ros.segmentation.pixels.pamr import DILATIONS, affinities, refine
from dinoiser_ros.segmentation.pixels.postprocess import upsample


def naive(scores: np.ndarray, image: np.ndarray, iterations: int) -> np.ndarray:
    """The paper's equations pixel by pixel, in float64, as the released code reads them.

    Args:
        scores: (K, H, W).
        image: (3, H, W) from 0 to 255.
    """
    _, height, width = scores.shape
    for _ in range(iterations):
        refined = np.zeros_like(scores)
        for row in range(height):
            for column in range(width):
                places = [
                    (
                        min(max(row + down, 0), height - 1),
                        min(max(column + right, 0), width - 1),
                    )
                    for ring in DILATIONS
                    for down in (-ring, 0, ring)
                    for right in (-ring, 0, ring)
                ]
                colours = np.array([image[:, y, x] for y, x in places])
                spread = colours.std(axis=0, ddof=1)
                others = [place for place in range(len(places)) if place % 9 != 4]
                unlike = np.abs(colours[others] - image[:, row, column]) / (1e-8 + 0.1 * spread)
                alike = np.exp(-unlike.mean(axis=1))
                shares = alike / alike.sum()
                for share, (y, x) in zip(shares, [places[i] for i in others], strict=True):
                    refined[:, row, column] += share * scores[:, y, x]
        scores = refined
    return scores


@pytest.mark.parametrize("size", [(9, 7), (1, 5)])
def test_refinement_against_loops(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    scores = random.random((3, *size))
    image = random.integers(0, 256, (3, *size)).astype(np.float64)
    image[:, :, :2] = 90  # some of it is flat
    wanted = naive(scores, image, 3)
    found = refine(
        torch.from_numpy(scores)[None].float(), torch.from_numpy(image)[None].float() / 255, 3
    )
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-5)


def test_the_way_of_a_cpu_is_the_way_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    scores, images = (
        torch.rand(2, 5, 30, 40, generator=random),
        torch.rand(2, 3, 30, 40, generator=random),
    )
    weights = affinities(images * 255)
    assert torch.allclose(weights.sum(dim=1), torch.ones(2, 30, 40), atol=1e-5)
    monkeypatch.setattr(pamr, "_CLASSES", 2)  # in parts
    torch.testing.assert_close(
        pamr._looked_up(scores, weights, 4), pamr._propagated(scores, weights, 4), atol=1e-6, rtol=0
    )


def test_what_is_not_finite_stays_so() -> None:
    scores = torch.full((1, 2, 40, 40), 0.5)
    scores[0, 1, 20, 20] = torch.nan
    assert refine(scores, torch.rand(1, 3, 40, 40), 1).sum().isnan()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    segmenter = Segmenter(**GOLDEN_MODEL, inference_size=64)
    segmenter.set_prompts(["background", "floor", "wall"])
    return segmenter


@pytest.mark.parametrize("method", ["dinoiser", "maskclip"])
def test_masks_are_those_of_refined_scores(segmenter: Segmenter, method: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    segmenter.set_options(method=method, pamr=0)
    coarse = torch.from_numpy(segmenter.probabilities(pixels))[None]
    patch = segmenter.backbone.patch_size
    fine = upsample(coarse, patch, (64, 80), (64, 80))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    wanted = refine(fine, image, 2)[0]
    segmenter.pamr = 2
    np.testing.assert_allclose(segmenter.probabilities(pixels), wanted.numpy(), atol=1e-5)
    found = segmenter.segment(pixels)
    np.testing.assert_allclose(found.confidence, wanted.amax(dim=0).numpy(), atol=1e-5)
    assert (found.labels == wanted.argmax(dim=0).numpy()).mean() > 0.99
    grid = segmenter.probability_grid(pixels, 80)
    np.testing.assert_allclose(grid, wanted.clamp(0, 1).numpy(), atol=1e-5)
    larger = segmenter.segment(np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1))
    assert larger.labels.shape == (128, 160)


def test_it_is_part_of_the_cost_and_of_no_exported_file(segmenter: Segmenter) -> None:
    plain, refined = (FrameKind((480, 640), (64, 80), 3, 1, pamr) for pamr in (0, 10))
    for cost in (frame_memory, frame_seconds):
        assert cost(refined, segmenter.parts) > cost(plain, segmenter.parts)
    segmenter.set_options(method="maskclip", pamr=1)
    with pytest.raises(ExportError, match="set pamr to 0"):
        Graph(segmenter)
