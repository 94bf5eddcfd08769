# SPDX-License-Identifier: Apache-2.0
"""The ablation of CLIP-DINOiser: where pooling weights and background come from."""

from __future__ import annotations

import naive_dinoiser as naive
import naive_methods
import numpy as np
import pytest
import torch
from dino_files import write_dino
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation import OptionError, Segmenter
from dinoiser_ros.segmentation.methods import found
from dinoiser_ros.segmentation.methods.background import assign_background
from dinoiser_ros.segmentation.networks.dinoiser_heads import GAMMA
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

POOLING = ["dinoiser", "dinoiser-dino", "dinoiser-keys", "dinoiser-keys-predictions"]


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Segmenter:
    dino = write_dino(tmp_path_factory.mktemp("dino") / "dino.safetensors")
    made = Segmenter(**GOLDEN_MODEL, inference_size=0, dino=dino, device="cpu", precision="float32")
    made.set_prompts(GOLDEN_PROMPTS)
    return made


@pytest.fixture
def any_method(segmenter) -> Segmenter:
    """The segmenter with the options it began with."""
    yield segmenter
    fresh = {name: getattr(type(segmenter.options), name) for name in vars(segmenter.options)}
    segmenter.set_options(**fresh)


def naive_weights(segmenter: Segmenter, image: np.ndarray, method: str) -> np.ndarray:
    """(N, N) by the method's name, for the golden model."""
    if method == "dinoiser-dino":
        batch = to_batch([image], image.shape[:2], segmenter.device)
        embeddings = segmenter.dino(batch).values[0].double().numpy()
    else:
        weights = naive.as_arrays(segmenter._text._clip.state_dict())
        embeddings = naive_methods.last_keys(image, weights, layers=5, heads=2)
    return naive.unit(embeddings) @ naive.unit(embeddings).T


@pytest.mark.parametrize("method", POOLING[1:])
@pytest.mark.parametrize("gamma", [None, 0.6])
def test_pooling_weights(any_method, expected, method, gamma):
    image = expected["wide.image_u8"]
    any_method.set_options(method=method, gamma=gamma, background_filter="off")
    got = any_method.probabilities(image)

    matrix = naive_weights(any_method, image, method)
    threshold = GAMMA if gamma is None else gamma
    assert np.abs(matrix - threshold).min() > 1e-6, "rounding must not decide"
    features = expected["wide.maskclip_features"].reshape(32, -1).T.astype(float)
    text = any_method.vocabulary.embeddings.double().numpy()
    if method == "dinoiser-keys-predictions":
        wanted = naive.pool(naive.softmax_over_prompts(features, text), matrix, threshold)
    else:
        wanted = naive.softmax_over_prompts(naive.pool(features, matrix, threshold), text)
    np.testing.assert_allclose(got.reshape(len(got), -1).T, wanted, atol=1e-3)


def test_gamma_of_the_heads_is_for_their_own_correlations(any_method, expected):
    """The demo's heads have another gamma than the paper; DINO's and CLIP's similarities not."""
    demo = Segmenter(model="demo", device="cpu")
    demo.set_prompts(["floor", "person"])
    image = expected["wide.image_u8"]
    assert demo.heads.gamma != GAMMA
    for method in POOLING:
        demo.set_options(method=method, gamma=None)
        own = demo.probabilities(image)
        demo.gamma = demo.heads.gamma if method == "dinoiser" else GAMMA
        np.testing.assert_array_equal(demo.probabilities(image), own)


@pytest.mark.parametrize("method", POOLING)
@pytest.mark.parametrize("source", ["objectness", "found"])
@pytest.mark.parametrize("uncertainty", [True, False])
def test_background(any_method, expected, method, source, uncertainty):
    image = expected["wide.image_u8"]
    any_method.set_options(method=method, background_filter="off", delta=0.9)
    plain = any_method.probabilities(image)
    any_method.set_options(
        background_filter="auto", background_source=source, background_uncertainty=uncertainty
    )
    got = any_method.probabilities(image)
    if source == "found":
        batch = to_batch([image], image.shape[:2], any_method.device)
        last = any_method.dino(batch)
        mask = found.background(last.cls_attention, last.keys)[0].reshape(plain.shape[1:]).numpy()
    else:
        mask = expected["wide.background_logits"][0] <= 0
    if uncertainty:
        mask = mask & (plain.max(axis=0) < 0.9)
    assert (got[0, mask] == 1).all()
    np.testing.assert_array_equal(got[1:], plain[1:])
    np.testing.assert_array_equal(got[0, ~mask], plain[0, ~mask])
    assert mask.any() or uncertainty


@settings(deadline=None)
@given(st.integers(0, 10**6), st.one_of(st.none(), st.floats(0, 1)), st.integers(0, 2))
def test_assigned_background(seed, delta, background):
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(2, 3, 2, 3, generator=generator).softmax(dim=1)
    mask = torch.rand(2, 2, 3, generator=generator) < 0.5
    got, before = assign_background(p, mask, background, delta), p.clone()
    for b, y, x in np.ndindex(2, 2, 3):
        wanted = p[b, :, y, x].clone()
        if mask[b, y, x] and (delta is None or wanted.max() < delta):
            wanted[background] = 1.0
        assert torch.equal(got[b, :, y, x], wanted)
    assert torch.equal(p, before), "the input must not change"


def test_a_batch_gives_what_single_images_give(any_method, expected):
    image = expected["wide.image_u8"]
    images = [image, image[:, ::-1].copy()]
    for method in POOLING:
        any_method.set_options(method=method, background_source="found")
        for one, both in zip(images, any_method.segment_batch(images), strict=True):
            alone = any_method.segment(one)
            assert (alone.labels == both.labels).mean() > 0.999


def test_what_is_missing_is_said_when_it_is_asked_for(golden):
    with pytest.raises(OptionError, match="needs dino.*`dino`"):
        golden.method = "dinoiser-dino"
    with pytest.raises(OptionError, match="needs dino"):
        golden.background_source = "found"
    golden.set_options(background_source="found", background_filter="off")  # then nobody asks FOUND
    golden.set_options(background_source="found", background_filter="auto", method="maskclip")
    with pytest.raises(OptionError, match="needs diffusion"):
        golden.method = "cliper-diffusion"
    assert golden.missing_parts(golden.options) == ()


def test_what_is_not_needed_need_not_be_there(tmp_path):
    """No heads: pooling by keys without the filter, or everything by DINO."""
    files = {key: GOLDEN_MODEL[key] for key in ("model", "weights")}
    keys = Segmenter(
        **files, inference_size=0, method="dinoiser-keys", background_filter="off", device="cpu"
    )
    assert keys.heads is None and keys.dino is None
    with pytest.raises(OptionError, match="needs heads"):
        keys.background_filter = "auto"
    dino = write_dino(tmp_path / "dino.safetensors")
    both = Segmenter(
        **files, method="dinoiser-dino", dino=dino, background_source="found", device="cpu"
    )
    both.set_prompts(GOLDEN_PROMPTS)
    assert both.heads is None
    assert both.segment(np.zeros((40, 40, 3), np.uint8)).labels.shape == (40, 40)
