# SPDX-License-Identifier: Apache-2.0
"""Crops, boxes and region batches."""

import numpy as np
import pytest
import torch
from training_fakes import TINY_CLIP, fake_store

from dinoiser_ros.sim.classes import CLASS_IDS, COLOUR_NAMES
from dinoiser_ros.training.demo.captions import NO_COLOUR
from dinoiser_ros.training.demo.region_captions import (
    MENTIONED,
    Phase,
    make_batch,
    window_positions,
)
from dinoiser_ros.training.demo.regions import (
    PATCH,
    CropSampler,
    box_contents,
    draw_boxes,
    entities_in,
)
from dinoiser_ros.training.demo.train_clip import build_clip
from dinoiser_ros.training.demo.vit import patch_positions

TOKENS = (6, 6)
TEMPLATES = ("a photo of a {}.",)
PHASE = Phase(1, 3, 4, 2, TOKENS, (0.75, 1.0, 1.5))


def lengths(sentences):
    """A stand-in for the tokeniser."""
    return torch.tensor([[len(sentence)] for sentence in sentences])


@pytest.fixture(scope="module")
def sampler():
    return CropSampler(fake_store())


def test_box_contents_count_pixels(sampler):
    rng = np.random.default_rng(0)
    crop = sampler.draw(rng, TOKENS, PHASE.zooms)
    for box in draw_boxes(rng, crop.instances, 9):
        y0, x0, y1, x1 = box * PATCH
        part, share = crop.instances[y0:y1, x0:x1], box_contents(crop.instances, crop.tables, box)
        assert share[CLASS_IDS["sky"], NO_COLOUR] == pytest.approx((part == 0).mean())
        assert share[CLASS_IDS["grass"], NO_COLOUR] == pytest.approx((part == 1).mean())
        assert share[CLASS_IDS["ball"], COLOUR_NAMES.index("red")] == pytest.approx(
            (part == 2).mean()
        )
        assert share.sum() == pytest.approx(1)


def test_boxes_lie_in_the_crop(sampler):
    rng = np.random.default_rng(1)
    for _ in range(20):
        crop = sampler.draw(rng, TOKENS, PHASE.zooms)
        boxes = draw_boxes(rng, crop.instances, 12)
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= TOKENS).all()
        assert (boxes[:, 2:] - boxes[:, :2] >= 2).all()


def test_a_crop_shows_what_its_instances_say(sampler):
    rng = np.random.default_rng(2)
    for _ in range(10):
        crop = sampler.draw(rng, TOKENS, PHASE.zooms)
        assert crop.rgb.shape == (48, 48, 3) and crop.instances.shape == (48, 48)
        # Away from the edges, which zooming blurs, the colour tells the thing.
        sky, grass, ball = (crop.rgb.numpy()[crop.instances == k] for k in range(3))
        for part, channel in ((sky, 2), (grass, 1), (ball, 0)):
            if len(part) > 200:
                assert (part.argmax(axis=1) == channel).mean() > 0.9


def test_entities_are_sorted_by_what_they_cover():
    share = np.zeros((18, 12), np.float32)
    share[8, 0], share[4, NO_COLOUR], share[2, NO_COLOUR] = 0.3, 0.6, 0.05
    assert entities_in(share, MENTIONED) == [(4, NO_COLOUR), (8, 0)]


def test_batch_is_reproducible_and_consistent(sampler):
    first, second = (
        make_batch(sampler, np.random.default_rng(5), PHASE, TEMPLATES, lengths) for _ in range(2)
    )
    assert torch.equal(first.images, second.images) and first.captions == second.captions
    assert first.masks.shape == (3, 5, 36)
    torch.testing.assert_close(first.masks.sum(dim=-1), torch.ones(3, 5))
    assert first.true.shape == (len(first.captions),) * 2 and first.true.diagonal().all()
    # Every crop has two captions for boxes and one for itself at most; padding makes up for others.
    assert set((first.captioned % 5).tolist()) <= {0, 1, 4}
    assert first.tokens.shape == (3 * 3 + len(CLASS_IDS), 1)
    expected = [caption.text for caption in first.captions] + first.names
    assert torch.equal(first.tokens[: len(expected)], lengths(expected))
    assert first.named.shape == first.visible.shape == (15, len(CLASS_IDS))
    assert (first.visible | ~first.named).all(), "what is named is visible"


def test_strange_colours_are_not_named(sampler):
    phase = Phase(1, 3, 4, 4, TOKENS, (1.0,), recoloured=1.0)
    batch = make_batch(sampler, np.random.default_rng(6), phase, TEMPLATES, lengths)
    assert batch.captions
    assert all(claim.colour is None for c in batch.captions for claim in c.claims)


def test_window_positions_are_those_of_the_whole_frame(sampler):
    vision = build_clip(TINY_CLIP).visual
    windows = [((12, 16), 3, 5), ((12, 16), 0, 10)]
    result = window_positions(vision, windows, TOKENS)
    whole = patch_positions(vision, 12, 16)
    assert torch.equal(result[0, 0], whole[3, 5]) and torch.equal(result[1, -1], whole[5, 15])
