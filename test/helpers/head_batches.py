# SPDX-License-Identifier: Apache-2.0
"""A short training of heads, the same in one process and in several."""

from __future__ import annotations

import torch

from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.training.heads.losses import HeadBatch
from dinoiser_ros.training.heads.schedule import HeadSchedule

SCHEDULE = HeadSchedule(steps=6, lr_projection=1e-2, lr_objectness=1e-2, drop_after=4)


def batch(step: int, rank: int = 0, size: int = 1) -> HeadBatch:
    """A process's part of a step's two pictures."""
    generator = torch.Generator().manual_seed(step)
    features = torch.randn(2, 5, 3, 4, generator=generator)
    correlations = torch.rand(2, 12, 12, generator=generator) * 2 - 1
    foreground = torch.rand(2, 3, 4, generator=generator) < 0.5
    return HeadBatch(*(x[rank::size] for x in (features, correlations, foreground)))


def new_heads() -> DinoiserHeads:
    torch.manual_seed(0)
    return DinoiserHeads(5, 4)
