# SPDX-License-Identifier: Apache-2.0
"""The short way through the text tower gives what open_clip's encode_text gives."""

from __future__ import annotations

import copy

import open_clip
import pytest
import torch
from golden_data import GOLDEN_MODEL
from hypothesis import given
from hypothesis import strategies as st
from open_clip import OPENAI_IMAGENET_TEMPLATES as TEMPLATES
from open_clip.tokenizer import SimpleTokenizer

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.models import building as model
from dinoiser_ros.segmentation.text import tower as module
from dinoiser_ros.segmentation.text.tower import TextTower, is_plain, token_tree

TOLERANCE = 1e-6  # of the largest value
PHRASES = ["person", "wooden floor", "🦺 木の床", "a very long name of a thing, " * 5]
SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}


def open_clip_model(config: dict) -> tuple[torch.nn.Module, object]:
    return open_clip.CLIP(**copy.deepcopy(config)), SimpleTokenizer()


def texts(tokenizer: object, phrase: str) -> torch.Tensor:
    return tokenizer([template(phrase) for template in TEMPLATES])


def assert_same(clip: torch.nn.Module, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        wanted = clip.encode_text(tokens)
    starts = [[49406], [49406, 320, 1125, 539, 320], [49406, 320, 2], *tokens[:3, :9].tolist()]
    for beginnings in ([], starts):
        got = TextTower(clip, beginnings)(tokens)
        assert got.dtype == torch.float32 and got.shape == wanted.shape
        assert (got - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def check_golden() -> None:
    model.is_plain_config = lambda config: False  # since ours has no `encode_text`
    segmenter = Segmenter(**GOLDEN_MODEL, device="cpu", precision="float32")
    segmenter._text._stored.fill()
    clip, tokenizer = segmenter._text._clip, segmenter._text._tokenizer
    assert is_plain(clip)
    for phrase in PHRASES:
        assert_same(clip, texts(tokenizer, phrase))


def test_as_encode_text(monkeypatch):
    monkeypatch.setattr(model, "is_plain_config", model.is_plain_config)  # and back again
    check_golden()


@pytest.mark.parametrize("most", [40, 300])
def test_texts_may_be_split_over_several_trees(monkeypatch, most):
    clip, tokenizer = open_clip_model(SMALL)
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", most)
    assert_same(clip.eval(), texts(tokenizer, "traffic cone"))


@pytest.mark.parametrize(
    "text_cfg",
    [{"proj_bias": True}, {"proj_type": "none"}, {"ls_init_value": 0.3}, {"quick_gelu": True}],
)
def test_variants_of_the_architecture(text_cfg):
    torch.manual_seed(1)
    config = copy.deepcopy(SMALL)
    if text_cfg.pop("quick_gelu", False):
        config["quick_gelu"] = True
    config["text_cfg"].update(text_cfg)
    clip, tokenizer = open_clip_model(config)
    assert is_plain(clip)
    assert_same(clip.eval(), texts(tokenizer, "wooden floor"))


@pytest.mark.parametrize(
    "text_cfg", [{"no_causal_mask": True}, {"pool_type": "last"}, {"qk_norm": True}]
)
def test_other_towers_are_used_as_they_are(text_cfg):
    torch.manual_seed(2)
    config = copy.deepcopy(SMALL)
    config["text_cfg"].update(text_cfg)
    clip, tokenizer = open_clip_model(config)
    assert not is_plain(clip)
    assert_same(clip.eval(), texts(tokenizer, "wooden floor"))


def test_a_tree_holds_common_beginnings_once():
    tree = token_tree([[1, 5, 9], [1, 5, 6, 9], [1, 5, 9]])
    assert tree.tokens.tolist() == [1, 5, 9, 6, 9]
    assert tree.places.tolist() == [0, 1, 2, 2, 3]
    assert tree.ends.tolist() == [2, 4, 2]
    assert tree.sees[4].tolist() == [True, True, False, True, True]


def test_a_tree_starts_with_the_beginnings():
    tree = token_tree([[1, 5, 9], [1, 7]], beginnings=[[1, 5, 6], [1]])
    assert tree.known == 3 and tree.tokens.tolist() == [1, 5, 6, 9, 7]
    assert tree.ends.tolist() == [3, 4]


def test_what_the_templates_have_in_front_is_kept(golden):
    tower = golden._text._tower
    beginnings = set(map(tuple, tower._beginnings))
    words = {golden._text._tokenizer.decode(list(b)).strip() for b in beginnings}
    assert "<start_of_text>a photo of the hard to see" in words
    assert not [text for text in words if "floor" in text or "wall" in text]
    known = token_tree(tower._beginnings)
    assert tower._known[0].shape[1] == len(known.tokens) > 100
    assert {k.shape[2] for k, _ in tower._known[1]} == {len(known.tokens)}


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12))
def test_what_a_token_of_a_tree_sees_is_its_text_so_far(texts):
    tree = token_tree(texts)
    assert len(tree.tokens) == len({tuple(t[: i + 1]) for t in texts for i in range(len(t))})
    for text, end in zip(texts, tree.ends.tolist(), strict=True):
        seen = tree.sees[end]
        assert tree.tokens[seen].tolist() == text
        assert tree.places[seen].tolist() == list(range(len(text)))
