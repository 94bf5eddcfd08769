# SPDX-License-Identifier: Apache-2.0
"""MaskCLIP's refinements: key smoothing and prompt denoising."""

from __future__ import annotations

import naive_dinoiser as naive
import naive_methods
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation.methods.classification import prompt_denoising
from dinoiser_ros.segmentation.methods.pooling import key_smoothing
from dinoiser_ros.segmentation.networks.clip_backbone import Request
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

FRACTIONS = st.floats(0, 1, width=32)


def random_maps(seed: int, classes: int = 4, rows: int = 3, columns: int = 4):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.softmax(
        3 * torch.randn(1, classes, rows, columns, generator=generator), 1
    )
    return probabilities, torch.randn(1, rows * columns, 5, generator=generator)


def flat(maps: torch.Tensor) -> np.ndarray:
    """(1, K, h, w) -> (N, K) in double precision."""
    return maps[0].flatten(1).T.double().numpy()


def test_keys_are_those_of_the_last_block(golden, expected):
    weights = naive.as_arrays(golden._text._clip.state_dict())
    image = expected["wide.image_u8"]
    wanted = naive_methods.last_keys(image, weights, layers=5, heads=2)
    batch = to_batch([image], image.shape[:2], golden.device)
    got = golden.backbone(batch, Request(features=False, intermediate=False, keys=True))
    assert got.features is None and got.intermediate is None and got.grid == (5, 9)
    np.testing.assert_allclose(got.keys[0].numpy(), wanted, atol=1e-5 * np.abs(wanted).max())


@settings(deadline=None)
@given(st.integers(0, 10**6), FRACTIONS)
def test_key_smoothing_is_the_papers_but_for_its_scale(seed, threshold):
    probabilities, keys = random_maps(seed)
    got = flat(key_smoothing(probabilities, keys, threshold))
    before = flat(probabilities)
    wanted = naive_methods.smooth(before, keys[0].double().numpy(), threshold)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    for one, paper, plain in zip(got, wanted, before, strict=True):
        if plain.max() >= threshold or paper.max() <= 0:
            np.testing.assert_allclose(one, plain, atol=1e-6)
        else:
            paper = np.maximum(paper, 0)
            # Next to a sum of 0 the scale is ill-conditioned, in the paper's numbers too.
            if paper.sum() > 1e-2:
                np.testing.assert_allclose(one, paper / paper.sum(), atol=1e-3)


def test_key_smoothing_of_equal_keys_is_a_vote():
    probabilities, keys = random_maps(3)
    got = key_smoothing(probabilities, torch.ones_like(keys), 1.0)
    mean = probabilities.mean(dim=(2, 3), keepdim=True).expand_as(got)
    torch.testing.assert_close(got, mean, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(st.integers(0, 10**6), FRACTIONS, st.floats(0.1, 30))
def test_prompt_denoising(seed, threshold, scale):
    logits = scale * torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(seed))
    best = torch.softmax(logits.double(), dim=1).amax(dim=(2, 3))
    assume((best - threshold).abs().min() > 1e-6)  # rounding may decide what lies on it
    got = prompt_denoising(logits, threshold)
    for index in range(2):
        wanted = naive_methods.denoise(flat(logits[index : index + 1]), np.float32(threshold))
        np.testing.assert_allclose(flat(got[index : index + 1]), wanted, atol=1e-4)
    assert (got > -100).any(dim=1).all(), "some class is always left"


def test_prompt_denoising_is_done_for_each_image_alone():
    logits = torch.zeros(2, 2, 1, 2)
    logits[0, 0], logits[1, 1] = 10, 10
    got = prompt_denoising(logits, 0.9)
    assert (got[0, 1] == -100).all() and (got[1, 0] == -100).all()
    assert (got[0, 0] == 10).all() and (got[1, 1] == 10).all()


def test_methods_by_name(golden, expected):
    """Each is the chain of the parts that its name says."""
    image = expected["wide.image_u8"]
    golden.set_options(method="maskclip", ks_threshold=0.9, pd_threshold=0.7)
    plain = torch.from_numpy(golden.probabilities(image))[None]
    dense = golden.backbone(
        to_batch([image], image.shape[:2], golden.device), Request(keys=True, intermediate=False)
    )
    denoised = torch.softmax(prompt_denoising(plain.log().clamp(min=-200), 0.7), dim=1)
    wanted = {
        "maskclip-ks": key_smoothing(plain, dense.keys, 0.9),
        "maskclip-pd": denoised,
        "maskclip-ks-pd": key_smoothing(denoised, dense.keys, 0.9),
    }
    for method, probabilities in wanted.items():
        golden.method = method
        got = golden.probabilities(image)
        np.testing.assert_allclose(got, probabilities[0].numpy(), atol=1e-4)
        assert np.abs(got - plain[0].numpy()).max() > 0.05, "it changes something"


@pytest.mark.parametrize("method", ["maskclip-ks", "maskclip-pd", "maskclip-ks-pd"])
def test_thresholds_of_zero_leave_maskclip(golden, expected, method):
    image = expected["odd.image_u8"]
    golden.method = "maskclip"
    plain = golden.probabilities(image)
    golden.set_options(method=method, ks_threshold=0.0, pd_threshold=0.0)
    np.testing.assert_array_equal(golden.probabilities(image), plain)
