# SPDX-License-Identifier: Apache-2.0
"""A training run that may be broken off at any moment: its steps, and the file it is kept in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.utils.atomic_files import atomic_write

Batch = TypeVar("Batch")
Losses = tuple[float, ...]  # what a step reports: always the same, in the same order
SAVE_EVERY = 30.0  # seconds


@dataclass
class Progress:
    """How far a run is: everything that its next step depends on but the module."""

    optimiser: torch.optim.Optimizer
    losses: list[Losses] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)

    def restore(self, saved: dict[str, Any] | None, module: nn.Module) -> None:
        """Go on where `Checkpoint.read` found a run; None: at the start."""
        if saved is None:
            return
        module.load_state_dict(saved["module"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.losses = [tuple(losses) for losses in saved["losses"].tolist()]


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

    def save(self, module: nn.Module, progress: Progress) -> None:
        """Write module, optimiser and losses; a kill at any moment leaves the old or the new."""
        state = {
            "settings": self._described(),
            "module": module.state_dict(),
            "optimiser": progress.optimiser.state_dict(),
            "losses": torch.tensor(progress.losses, dtype=torch.float64),
        }
        with atomic_write(self.path) as part:
            torch.save(state, part)

    def read(self) -> dict[str, Any] | None:
        """What was saved, None if nothing was.

        Raises:
            TrainingError: it is damaged, or of a run with other settings.
        """
        if not self.path.exists():
            return None
        advice = f"remove it to start anew, or put it elsewhere ({self.path})"
        try:
            saved: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
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


def run_steps(
    module: nn.Module,
    progress: Progress,
    batches_from: Callable[[int], Iterable[Batch]],
    update: Callable[[Batch], Losses],
    steps: int,
    checkpoint: Checkpoint | None = None,
    report: Callable[[int, Losses], None] | None = None,
) -> list[Losses]:
    """Train up to a number of steps, from wherever the run is.

    The result depends on the batches of the steps and on nothing else, so a run that was broken off
    ends where an unbroken one does.

    Args:
        module: what is trained.
        progress: how far it is; changed in place.
        batches_from: gives the batches from a step on, counted from 0, one for each step.
        update: makes one step of the optimiser with a batch.
        checkpoint: where the run is kept, if it is.
        report: called after each step with the steps done and the step's losses.

    Returns:
        The losses of every step, also of those before the checkpoint.
    """
    if progress.step >= steps:
        return progress.losses
    saved_at = time.monotonic()
    for batch in batches_from(progress.step):
        progress.losses.append(update(batch))
        done = progress.step == steps
        if checkpoint and (done or time.monotonic() - saved_at >= checkpoint.every):
            checkpoint.save(module, progress)
            saved_at = time.monotonic()
        if report:
            report(progress.step, progress.losses[-1])
        if done:
            break
    return progress.losses


def check_finite(losses: Tensor, step: int) -> None:
    """Refuse losses with which training would only be destroyed.

    Args:
        step: counted from 0.

    Raises:
        TrainingError: one of them is not a number.
    """
    if not losses.isfinite().all():
        raise TrainingError(
            f"The loss of step {step + 1} is not a number: use another precision (bfloat16 or "
            "float32) or lower learning rates."
        )
