# SPDX-License-Identifier: Apache-2.0
"""How long the heads are trained, and with which learning rates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadSchedule:
    """The authors' recipe: AdamW, one learning rate per head, both lowered tenfold near the end.

    Attributes:
        steps: how many; 100 epochs of 1,000 pictures in batches of 16.
        lr_projection, lr_objectness: learning rates of g and h.
        drop_after: step after which both are a tenth.
        dino_threshold: DINO's correlations from here on count as "belongs together".
    """

    steps: int = 6250
    lr_projection: float = 5e-5
    lr_objectness: float = 1e-2
    drop_after: int = 5000
    dino_threshold: float = 0.2

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rates of g and h at a step, counted from 0."""
        factor = 0.1 if step >= self.drop_after else 1.0
        return factor * self.lr_projection, factor * self.lr_objectness
