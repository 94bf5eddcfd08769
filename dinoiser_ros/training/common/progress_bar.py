# SPDX-License-Identifier: Apache-2.0
"""A bar that shows how far a training is, and its losses."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

from tqdm import tqdm  # comes with open_clip and huggingface_hub

from .run_state import Losses

_MEAN_OVER = 50  # steps; the losses of single batches jump about


class ProgressBar:
    """Reports steps as `run_steps` calls it; in a log file a line every half a minute.

    A context, so that a message after a run that broke off gets a line of its own.

    Args:
        title: what is trained.
        steps: how many there are.
        names: of the losses, in their order.
    """

    def __init__(self, title: str, steps: int, names: tuple[str, ...]) -> None:
        self._title, self._steps, self._names = title, steps, names
        self._bar: tqdm[Any] | None = None
        self._recent: deque[Losses] = deque(maxlen=_MEAN_OVER)

    def __call__(self, step: int, losses: Losses) -> None:
        """Show the steps done and the mean of the last losses."""
        if self._bar is None:  # here, so that a run that goes on starts where it broke off
            wait = 0.1 if sys.stderr.isatty() else 30.0
            self._bar = tqdm(
                total=self._steps, initial=step - 1, unit="step", mininterval=wait, desc=self._title
            )
        self._recent.append(losses)
        means = (sum(values) / len(values) for values in zip(*self._recent, strict=True))
        texts = (f"{name} {mean:.4f}" for name, mean in zip(self._names, means, strict=True))
        self._bar.set_postfix_str(", ".join(texts), refresh=False)
        self._bar.update()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
