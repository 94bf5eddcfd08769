# SPDX-License-Identifier: Apache-2.0
"""CLIPer: the authors' numbers, naive code, and what its scores mean for our vocabularies."""

from __future__ import annotations

import naive_dinoiser as naive
import naive_methods
import numpy as np
import open_clip
import pytest
import torch
from golden_data import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.cliper import (
    cleaned,
    cleaned_rounds,
    fuse_layers,
    fusion_weight,
    layer_features,
    layer_probabilities,
)
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.loading import LoadedModel, build_clip
from dinoiser_ros.segmentation.models.registry import ModelSpec
from dinoiser_ros.segmentation.pixels.preprocess import to_batch
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary, parse_prompts
from dinoiser_ros.segmentation.weights.checkpoint import load_into, read_checkpoint

TOLERANCE = 1e-4  # of the largest value of an array
CONFIG = {
    "embed_dim": 48,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 5, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
NAMES = ("square", "wide")
FOREGROUND = ["chair", "table", "person", "dog"]
BACKGROUND = "background: wall, sky"


@pytest.fixture(scope="module")
def authors() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "cliper_expected.npz") as arrays:
        return dict(arrays)


def vocabulary(authors, prompts=(*FOREGROUND, BACKGROUND)) -> Vocabulary:
    """The golden texts under names of ours; "background" may be anywhere, or missing."""
    cleaned_prompts, classes = parse_prompts(prompts)
    named = dict(zip(FOREGROUND, authors["foreground_text"], strict=True))
    named |= dict(zip(("wall", "sky"), authors["background_text"], strict=True))
    named["background"] = authors["background_text"][0]
    phrases = [(entry.id, phrase) for entry in classes for phrase in entry.phrases]
    texts = torch.from_numpy(np.stack([named[phrase] for _, phrase in phrases]))
    owners = torch.tensor([owner for owner, _ in phrases])
    return Vocabulary(cleaned_prompts, classes, texts, owners)


@pytest.fixture(scope="module")
def cliper() -> Segmenter:
    return load()


def load() -> Segmenter:
    """The golden vision tower in a segmenter; its text tower is never used."""
    clip = build_clip(CONFIG)[0]
    state, _ = read_checkpoint(GOLDEN / "cliper_visual.safetensors")
    visual = {n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.")}
    load_into(clip.visual, visual, "cliper_visual")
    loaded = LoadedModel(clip, open_clip.get_tokenizer("ViT-B-16"), None)
    return Segmenter.from_model(
        loaded, ModelSpec("golden", "none"), method="cliper", inference_size=0
    )


def assert_close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    worst = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert worst <= TOLERANCE, f"off by {worst:.1e} of its largest value"


@torch.no_grad()
def computed(cliper: Segmenter, image: np.ndarray):
    """Features (L, 1 + N, d), attention (N, N)."""
    batch = to_batch([image], image.shape[:2], cliper.device)
    dense = cliper.backbone(batch, METHODS["cliper"].request)
    features, attention = layer_features(cliper.backbone, dense)
    return features[0], attention[0]


def weight(attention: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """(h, w): what scores are divided by to be probabilities."""
    return 1 + attention.sum(axis=0).reshape(grid)


def check_the_authors_numbers(cliper: Segmenter, authors: dict, name: str) -> None:
    image = authors[f"{name}.image_u8"]
    features, attention = computed(cliper, image)
    assert_close(features.numpy(), authors[f"{name}.layer_embeddings"])
    assert_close(attention.numpy(), authors[f"{name}.fused_attention"])

    cliper.use(vocabulary(authors))
    cliper.attention_thr = float(authors["attention_thr"])
    probabilities = cliper.probabilities(image)
    assert probabilities.min() >= 0 and probabilities.sum(axis=0).max() <= 1 + 1e-6
    scores = probabilities * weight(attention.numpy(), probabilities.shape[1:])
    assert_close(scores[: len(FOREGROUND)], authors[f"{name}.segmentation"])


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_numbers(cliper, authors, name):
    check_the_authors_numbers(cliper, authors, name)


def main() -> None:
    """Compare with whatever open_clip is first on the path: test_old_open_clip.py runs this."""
    with np.load(GOLDEN / "cliper_expected.npz") as arrays:
        for name in NAMES:
            check_the_authors_numbers(load(), dict(arrays), name)


def test_the_naive_numbers(cliper, authors):
    """On a grid of another shape, with another threshold, from the pixels to the scores."""
    image = np.random.default_rng(0).integers(0, 256, (41, 70, 3), np.uint8)
    state, _ = read_checkpoint(GOLDEN / "cliper_visual.safetensors")
    layers, attention, grid = naive_methods.cliper_layers(
        image, naive.as_arrays(state), layers=5, heads=2
    )
    features, fused = computed(cliper, image)
    for got, wanted in zip(features.numpy(), layers, strict=True):
        assert_close(got, wanted)
    assert_close(fused.numpy(), attention)

    texts = authors["foreground_text"].astype(float), authors["background_text"].astype(float)
    rows = [naive_methods.cliper_layer(one, *texts) for one in layers]
    # Our background is what its two texts get together.
    rows = [np.concatenate([row[:4], row[4:6].sum(axis=0, keepdims=True)]) for row in rows]
    wanted = naive_methods.cliper_fuse(rows, attention, 0.4)
    cliper.use(vocabulary(authors))
    cliper.attention_thr = 0.4
    got = cliper.probabilities(image)
    assert got.shape == (5, *grid)
    assert_close((got * weight(attention, grid)).reshape(5, -1), wanted)


def test_background_may_be_anywhere_or_missing(cliper, authors):
    features = computed(cliper, authors["wide.image_u8"])[0][None, :, 1:]
    last = layer_probabilities(features, vocabulary(authors))
    first = layer_probabilities(features, vocabulary(authors, (BACKGROUND, *FOREGROUND)))
    torch.testing.assert_close(first, last.roll(1, dims=2))
    without = layer_probabilities(features, vocabulary(authors, FOREGROUND))
    assert (without >= last[:, :, :4] - 1e-6).all(), "nobody takes from the foreground"
    assert without.sum(dim=2).min() < 0.9, "but the extra text"
    alone = layer_probabilities(features, vocabulary(authors, ["background"]))
    assert (alone == 1).all() and alone.shape[2] == 1


def test_a_class_of_several_phrases_is_the_best_of_them(cliper, authors):
    features = computed(cliper, authors["wide.image_u8"])[0][None, :, 1:]
    prompts = ["furniture: chair, table", "person", "dog"]
    got = layer_probabilities(features, vocabulary(authors, prompts))
    texts = authors["foreground_text"].astype(float)
    unit = naive.unit(features[0, 2].double().numpy())
    cosines = unit @ np.concatenate([texts, naive.unit(texts.mean(axis=0))[None]]).T
    best = np.column_stack([cosines[:, :2].max(axis=1), cosines[:, 2:]])
    exponents = np.exp(100 * (best - best.max(axis=1, keepdims=True)))
    wanted = (exponents / exponents.sum(axis=1, keepdims=True))[:, :3].T
    assert_close(got[0, 2].numpy(), wanted)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 3))
def test_cleaned_maps_are_weights(seed, tokens, rounds):
    attention = torch.rand(2, tokens, tokens, generator=torch.Generator().manual_seed(seed)) + 1e-3
    maps = list(cleaned_rounds(attention, rounds))
    assert len(maps) == rounds
    for one in maps:
        assert (one >= 0).all() and torch.isfinite(one).all()
        sums = one.sum(dim=-1)
        assert (((sums - 1).abs() < 1e-4) | (sums < 1e-4)).all()


def test_attention_without_any_structure_gives_no_nan():
    assert torch.isfinite(cleaned(torch.full((1, 4, 4), 0.25))).all()


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_fusion_against_loops(seed, attention_thr):
    generator = torch.Generator().manual_seed(seed)
    layers = torch.rand(1, 3, 2, 5, generator=generator)
    attention = torch.rand(1, 5, 5, generator=generator) / 5
    before = layers.clone()
    got = fuse_layers(layers, attention, attention_thr)[0]
    wanted = naive_methods.cliper_fuse(
        list(layers[0].double().numpy()), attention[0].double().numpy(), attention_thr
    )
    relative = layers[0, -1] / layers[0, -1].amax(dim=-1, keepdim=True)
    if (relative - attention_thr).abs().min() > 1e-6:  # or rounding decides
        np.testing.assert_allclose(got.numpy(), wanted, atol=1e-5)
    assert torch.equal(layers, before), "the input must not change"
    certain = fuse_layers(torch.ones_like(layers), attention, attention_thr)
    torch.testing.assert_close(certain, fusion_weight(attention).expand_as(certain))
    assert (got <= fusion_weight(attention)[0] + 1e-5).all()
