# SPDX-License-Identifier: Apache-2.0
"""What the heads' batches are made of: the engine's features, DINO's and FOUND's targets."""

from __future__ import annotations

import json

import pytest
import torch
from golden_data import GOLDEN_MODEL
from training_fakes import official_dino_state

from dinoiser_ros.segmentation.methods.pooling import correlations
from dinoiser_ros.segmentation.models.building import build_clip
from dinoiser_ros.segmentation.models.dino_files import dino_from_state
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.training.heads.found import seed_foreground
from dinoiser_ros.training.heads.teacher import HeadTeacher, Teachers


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    clip, _ = build_clip(json.loads(GOLDEN_MODEL["model"].read_text()))
    return Backbone(clip.visual.eval(), -2, plain=True)  # it runs under autocast


def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8, generator=generator)


def test_a_batch_against_its_parts(backbone):
    """CLIP's patches have 16 pixels here, DINO's 8: four of DINO's make one of CLIP's."""
    dino = dino_from_state(official_dino_state(), "it")
    batch = HeadTeacher(backbone, Teachers(dino, dino, seed_foreground))(pictures())
    images = pictures().permute(0, 3, 1, 2).float() / 255
    assert torch.equal(batch.features, backbone(images).intermediate_map)
    assert batch.features.shape == (2, 64, 2, 3)
    last = dino(images)
    assert last.grid == (4, 6)
    resized = torch.nn.functional.interpolate(
        last.values.transpose(1, 2).reshape(2, -1, 4, 6), (2, 3), mode="bilinear", antialias=True
    )
    expected = correlations(resized.flatten(2).transpose(1, 2))
    torch.testing.assert_close(batch.correlations, expected)
    mask = torch.nn.functional.interpolate(
        seed_foreground(last).reshape(2, 1, 4, 6), (2, 3), mode="bilinear", antialias=True
    )
    assert torch.equal(batch.foreground, mask[:, 0] > 0.5)


def test_found_may_read_a_dino_of_its_own(backbone):
    dino, other = (dino_from_state(official_dino_state(seed), "it") for seed in (0, 1))
    seen = []
    teacher = HeadTeacher(
        backbone, Teachers(dino, other, lambda last: seen.append(last) or last.keys[..., 0, 0])
    )
    teacher(pictures())
    expected = other(pictures().permute(0, 3, 1, 2).float() / 255)
    assert torch.equal(seen[0].keys, expected.keys)


def test_mixed_precision_changes_little(backbone):
    dino = dino_from_state(official_dino_state(), "it")
    teachers = Teachers(dino, dino, seed_foreground)
    exact, mixed = (
        HeadTeacher(backbone, teachers, kind)(pictures())
        for kind in (torch.float32, torch.bfloat16)
    )
    assert mixed.features.dtype == mixed.correlations.dtype == torch.float32
    difference = (exact.features - mixed.features).abs().mean() / exact.features.abs().mean()
    assert 0 < difference < 0.02
    assert (exact.correlations - mixed.correlations).abs().mean() < 0.02
