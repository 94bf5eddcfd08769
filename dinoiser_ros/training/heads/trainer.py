# SPDX-License-Identifier: Apache-2.0
"""The training of the heads: their steps, in one process or in several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.training.common.processes import Team
from dinoiser_ros.training.common.run_state import (
    Checkpoint,
    Losses,
    Progress,
    check_finite,
    run_steps,
)

from .losses import HeadBatch, head_losses
from .schedule import HeadSchedule


def train_heads(
    heads: DinoiserHeads,
    batches_from: Callable[[int], Iterable[HeadBatch]],
    schedule: HeadSchedule,
    checkpoint: Checkpoint | None = None,
    team: Team | None = None,
    report: Callable[[int, Losses], None] | None = None,
) -> list[Losses]:
    """Train both heads with the sum of both losses, or go on where the checkpoint ends.

    Args:
        heads: on the device of the batches; changed in place.
        batches_from: as in `run_steps`; in a team this process's part of each.
        team: the processes that train together.
        report: as in `run_steps`.

    Returns:
        The losses of g (correlation) and h (objectness) of every step, also of those before the
        checkpoint.

    Raises:
        TrainingError: the checkpoint does not belong to this run, or a loss is not a number.
    """
    team = team or Team()
    groups = [{"params": head.parameters()} for head in (heads.obj_proj, heads.bkg_decoder)]
    progress = Progress(torch.optim.AdamW(groups, lr=schedule.lr_projection))
    saved = team.share(checkpoint.read() if checkpoint and team.is_main else None)
    progress.restore(saved, heads)
    update = partial(_update, heads, progress, schedule, team)
    kept = checkpoint if team.is_main else None
    return run_steps(heads, progress, batches_from, update, schedule.steps, kept, report)


def _update(
    heads: DinoiserHeads, progress: Progress, schedule: HeadSchedule, team: Team, batch: HeadBatch
) -> Losses:
    """One step of the optimiser; returns the losses before it, averaged over the team."""
    for group, rate in zip(
        progress.optimiser.param_groups, schedule.rates(progress.step), strict=True
    ):
        group["lr"] = rate
    losses = head_losses(heads, batch, schedule.dino_threshold)
    progress.optimiser.zero_grad(set_to_none=True)
    (losses[0] + losses[1]).backward()
    values = torch.stack(losses).detach()
    # `backward` has given every parameter a gradient.
    gradients = [cast("Tensor", parameter.grad) for parameter in heads.parameters()]
    team.average([values, *gradients])
    check_finite(values, progress.step)
    progress.optimiser.step()
    return tuple(values.tolist())
