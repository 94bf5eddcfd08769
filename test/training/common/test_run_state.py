# SPDX-License-Identifier: Apache-2.0
"""Every trainer takes a few steps on tiny sizes: it learns, it is reproducible, it resumes."""

import numpy as np
import pytest
import torch
from training_fakes import TINY_CLIP, TINY_DINO, fake_store

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.training.demo.frame_batches import FrameBatches
from dinoiser_ros.training.demo.region_captions import Phase
from dinoiser_ros.training.demo.regions import CropSampler
from dinoiser_ros.training.demo.train_clip import ClipSchedule, build_clip, train_clip
from dinoiser_ros.training.demo.train_dino import DinoSchedule, build_dino, train_dino
from dinoiser_ros.training.heads.found import seed_foreground
from dinoiser_ros.training.heads.schedule import HeadSchedule
from dinoiser_ros.training.heads.teacher import HeadTeacher, Teachers
from dinoiser_ros.training.heads.trainer import train_heads

PHASES = (Phase(3, 3, 3, 2, (6, 6), (0.75, 1.0)), Phase(4, 2, 4, 2, (8, 8), (1.0,), 0.5))
CLIP = ClipSchedule(PHASES, warmup=2)
DINO = DinoSchedule(steps=2, frames=3, global_size=48, local_size=24, local_crops=2, prototypes=16)


@pytest.fixture(scope="module")
def store():
    return fake_store()


@pytest.fixture(scope="module")
def sampler(store):
    return CropSampler(store)


def same(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_clip_is_reproducible_and_resumes(sampler, tmp_path, monkeypatch):
    whole = train_clip(TINY_CLIP, sampler, CLIP, 0, tmp_path / "whole.pt")
    assert same(whole, train_clip(TINY_CLIP, sampler, CLIP, 0, tmp_path / "again.pt"))
    assert not same(whole, train_clip(TINY_CLIP, sampler, CLIP, 1, tmp_path / "other.pt"))
    # A run that ends after two steps and is started again: its schedule must not know of the end.
    checkpoint = tmp_path / "parts.pt"
    with monkeypatch.context() as patched:
        patched.setattr(ClipSchedule, "steps", 2)
        train_clip(TINY_CLIP, sampler, SteadySchedule(PHASES), 0, checkpoint)
    steady = train_clip(TINY_CLIP, sampler, SteadySchedule(PHASES), 0, tmp_path / "steady.pt")
    assert same(steady, train_clip(TINY_CLIP, sampler, SteadySchedule(PHASES), 0, checkpoint))


class SteadySchedule(ClipSchedule):
    """A schedule in which nothing depends on the number of steps."""

    def rate(self, step):
        return 1.0


def test_clip_learns(sampler, tmp_path):
    schedule = ClipSchedule((Phase(24, 4, 3, 3, (6, 6), (1.0,)),), warmup=3)
    checkpoint = tmp_path / "clip.pt"
    train_clip(TINY_CLIP, sampler, schedule, 0, checkpoint)
    losses = torch.load(checkpoint, weights_only=True)["losses"]
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.1


def test_dino_is_reproducible(store, tmp_path):
    first = train_dino(TINY_DINO, store.rgb, DINO, 0, tmp_path / "a.pt")
    assert same(first, train_dino(TINY_DINO, store.rgb, DINO, 0, tmp_path / "b.pt"))
    assert same(
        first, train_dino(TINY_DINO, store.rgb, DINO, 0, tmp_path / "a.pt")
    )  # loaded, not trained
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_heads_learn_from_their_teachers(store):
    torch.manual_seed(0)
    clip, tower = build_clip(TINY_CLIP).eval(), DinoTower(build_dino(TINY_DINO).eval())
    heads, frames = DinoiserHeads(32, 8), FrameBatches(store.rgb, 2, 0)
    before = {name: value.clone() for name, value in heads.state_dict().items()}
    frozen = {name: value.clone() for name, value in clip.state_dict().items()}
    teacher = HeadTeacher(Backbone(clip.visual), Teachers(tower, tower, seed_foreground))
    schedule = HeadSchedule(30, 3e-3, 1e-2, 25)
    losses = train_heads(
        heads, lambda first: (teacher(frames[i]) for i in range(first, 30)), schedule
    )
    totals = np.sum(losses, axis=1)
    assert np.mean(totals[-5:]) < np.mean(totals[:5])
    assert all(not torch.equal(before[name], value) for name, value in heads.state_dict().items())
    assert all(torch.equal(frozen[name], value) for name, value in clip.state_dict().items())
