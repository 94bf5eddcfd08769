# SPDX-License-Identifier: Apache-2.0
"""The label of every pixel against its definition: resize all classes, then take the best."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation.pixels import postprocess as module
from dinoiser_ros.segmentation.pixels.postprocess import label_pixels, upsample
from dinoiser_ros.segmentation.pixels.preprocess import inference_shape

PATCH = 16


@pytest.fixture(autouse=True, scope="module")
def cells_even_for_few_classes():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_FEW_CLASSES", 0)
        yield


def check(
    coarse: torch.Tensor,
    shape: tuple[int, int],
    size: tuple[int, int],
    label: Callable[..., tuple[torch.Tensor, torch.Tensor]] = label_pixels,
) -> None:
    """Same confidence, and the same label wherever the two best classes differ at all."""
    full = upsample(coarse, PATCH, shape, size)
    confidence, labels = label(coarse, PATCH, shape, size)
    assert labels.dtype == torch.int32 and labels.shape == confidence.shape == full[:, 0].shape
    torch.testing.assert_close(confidence, full.amax(dim=1), atol=2e-5, rtol=0)
    chosen = full.gather(1, labels.long().unsqueeze(1))[:, 0]
    torch.testing.assert_close(chosen, full.amax(dim=1), atol=4e-5, rtol=0)


def peaky(batch: int, classes: int, grid: tuple[int, int], seed: int, scale: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(scale * torch.randn(batch, classes, *grid, generator=generator), dim=1)


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    shorter=st.sampled_from([None, 16, 40, 100]),
    classes=st.integers(1, 30),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.1, 2.0, 20.0]),
)
def test_labels_are_those_of_the_definition(size, shorter, classes, seed, scale):
    shape = inference_shape(size, shorter)
    grid = tuple(-(-side // PATCH) for side in shape)
    # Of as many patches as pixels PyTorch makes a copy, whatever the scale is.
    assume(all(cells != side for cells, side in zip(grid, size, strict=True)))
    check(peaky(2, classes, grid, seed, scale), shape, size)


@pytest.mark.parametrize("elements", [1, 3000, 10**9])
def test_bands_of_rows_make_no_difference(elements, monkeypatch):
    monkeypatch.setattr(module, "_BAND", elements)
    check(peaky(2, 40, (7, 9), 1, 5.0), (100, 140), (151, 211))


def test_probabilities_that_do_not_sum_to_one():
    """As the background filter leaves them."""
    coarse = peaky(1, 4, (5, 6), 2, 3.0)
    coarse[:, 0, 1:3, 2:4] = 1.0
    check(coarse, (80, 96), (80, 96))


def test_the_first_of_equal_classes_wins():
    coarse = torch.full((1, 3, 4, 4), 0.25)
    coarse[:, 1:, 2:] = 0.5
    _, labels = label_pixels(coarse, PATCH, (64, 64), (64, 64))
    assert labels[0, 0, 0] == 0 and labels[0, -1, -1] == 1


def test_few_candidates_are_left_of_many_classes():
    values, ids = module._candidates(peaky(1, 150, (30, 40), 3, 4.4))
    assert values.shape == (1, 30, 40, ids.shape[-1], 2, 2)
    assert ids.shape[-1] < 30


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    classes=st.integers(1, 20),
    at_once=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_on_a_gpu_classes_are_labelled_some_at_a_time(size, classes, at_once, seed):
    coarse = peaky(2, classes, tuple(-(-side // PATCH) for side in size), seed, 5.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_FEW_ELEMENTS", 2 * size[0] * size[1] * at_once)
        check(coarse, size, size, module._label_plainly)
