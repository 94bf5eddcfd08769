"""The training loop of the heads: steps, checkpoints by time, several processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from dinoiser_ros.training.errors import TrainingError
from dinoiser_ros.training.heads import HeadBatch, HeadSchedule, head_losses
from dinoiser_ros.training.processes import Team

Losses = tuple[float, float]  # of g (correlation) and h (objectness)
SAVE_EVERY = 30.0  # seconds


@dataclass
class Progress:
    """How far a run is: everything that its next step depends on but the heads."""

    optimiser: torch.optim.Optimizer
    losses: list[Losses] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept, and what must be the same for it to be gone on with.

    Attributes:
        path: a file that is only ever replaced as a whole.
        settings: anything JSON can write that the result depends on.
        every: seconds between two writes.
    """

    path: Path
    settings: dict[str, object]
    every: float = SAVE_EVERY

    def save(self, heads: nn.ModuleDict, progress: Progress) -> None:
        """Write heads, optimiser and losses; a kill at any moment leaves the old or the new."""
        part = self.path.with_name(self.path.name + ".part")
        with part.open("wb") as file:
            state = {
                "settings": self._described(),
                "heads": heads.state_dict(),
                "optimiser": progress.optimiser.state_dict(),
                "losses": torch.tensor(progress.losses, dtype=torch.float64),
            }
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def read(self) -> dict | None:
        """What was saved, None if nothing was.

        Raises:
            TrainingError: it is damaged, or of a run with other settings.
        """
        if not self.path.exists():
            return None
        advice = f"remove it to start anew, or put it elsewhere ({self.path})"
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            theirs = json.loads(saved["settings"])
        except Exception as error:  # a damaged file makes the unpickler raise almost anything
            raise TrainingError(f"The checkpoint cannot be read: {advice}.") from error
        ours = json.loads(self._described())
        other = sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k))
        if other:
            raise TrainingError(
                f"The checkpoint is of a run with another {', '.join(other)}: {advice}."
            )
        return saved

    def _described(self) -> str:
        return json.dumps(self.settings, sort_keys=True)


def train_heads(
    heads: nn.ModuleDict,
    batches_from: Callable[[int], Iterable[HeadBatch]],
    schedule: HeadSchedule,
    checkpoint: Checkpoint | None = None,
    team: Team | None = None,
    report: Callable[[int, Losses], None] | None = None,
) -> list[Losses]:
    """Train both heads with the sum of both losses, or go on where the checkpoint ends.

    The result depends on the batches of the steps and on nothing else, so a run that was broken off
    ends where an unbroken one does.

    Args:
        heads: from `build_heads`, on the device of the batches; changed in place.
        batches_from: gives the batches from a step on, counted from 0, one for each step; in a team
            this process's part of each.
        team: the processes that train together.
        report: called after each step with the steps done and the step's losses.

    Returns:
        The losses of every step, also of those before the checkpoint.

    Raises:
        TrainingError: the checkpoint does not belong to this run, or a loss is not a number.
    """
    team = team or Team()
    progress = _start(heads, schedule, checkpoint, team)
    if progress.step >= schedule.steps:
        return progress.losses
    keeps, saved_at = checkpoint is not None and team.is_main, time.monotonic()
    for batch in batches_from(progress.step):
        progress.losses.append(_update(heads, batch, progress, schedule, team))
        done = progress.step == schedule.steps
        if keeps and (done or time.monotonic() - saved_at >= checkpoint.every):
            checkpoint.save(heads, progress)
            saved_at = time.monotonic()
        if report:
            report(progress.step, progress.losses[-1])
        if done:
            break
    return progress.losses


def _start(
    heads: nn.ModuleDict, schedule: HeadSchedule, checkpoint: Checkpoint | None, team: Team
) -> Progress:
    """An optimiser as at the start, or all as the main process finds it in the checkpoint."""
    groups = [{"params": heads[name].parameters()} for name in ("obj_proj", "bkg_decoder")]
    progress = Progress(torch.optim.AdamW(groups, lr=schedule.lr_projection))
    saved = team.share(checkpoint.read() if checkpoint and team.is_main else None)
    if saved is not None:
        heads.load_state_dict(saved["heads"])
        progress.optimiser.load_state_dict(saved["optimiser"])
        progress.losses = [tuple(losses) for losses in saved["losses"].tolist()]
    return progress


def _update(
    heads: nn.ModuleDict, batch: HeadBatch, progress: Progress, schedule: HeadSchedule, team: Team
) -> Losses:
    """One step of the optimiser; returns the losses before it, averaged over the team."""
    for group, rate in zip(
        progress.optimiser.param_groups, schedule.rates(progress.step), strict=True
    ):
        group["lr"] = rate
    losses = head_losses(heads, batch, schedule.dino_threshold)
    progress.optimiser.zero_grad(set_to_none=True)
    sum(losses).backward()
    values = torch.stack(losses).detach()
    team.average([values, *(parameter.grad for parameter in heads.parameters())])
    if not values.isfinite().all():
        raise TrainingError(
            f"The loss of step {progress.step + 1} is not a number: use another precision "
            "(bfloat16 or float32) or lower learning rates."
        )
    progress.optimiser.step()
    correlation, objectness = values.tolist()
    return correlation, objectness
