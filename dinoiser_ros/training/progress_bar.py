"""A bar that shows how far a training is, and both losses."""

from __future__ import annotations

import sys
from collections import deque

from tqdm import tqdm  # comes with open_clip and huggingface_hub

from dinoiser_ros.training.head_trainer import Losses

_MEAN_OVER = 50  # steps; the losses of single batches jump about


class ProgressBar:
    """Reports steps as `train_heads` calls it; in a log file a line every half a minute.

    A context, so that a message after a run that broke off gets a line of its own.
    """

    def __init__(self, steps: int) -> None:
        self._steps, self._bar = steps, None
        self._recent: deque[Losses] = deque(maxlen=_MEAN_OVER)

    def __call__(self, step: int, losses: Losses) -> None:
        """Show the steps done and the mean of the last losses."""
        if self._bar is None:  # here, so that a run that goes on starts where it broke off
            wait = 0.1 if sys.stderr.isatty() else 30.0
            self._bar = tqdm(
                total=self._steps, initial=step - 1, unit="step", mininterval=wait, desc="heads"
            )
        self._recent.append(losses)
        correlation, objectness = (sum(x) / len(x) for x in zip(*self._recent, strict=True))
        text = f"correlation {correlation:.4f}, objectness {objectness:.4f}"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
