"""Training CLIP-DINOiser's two heads from their teachers (arXiv 2312.12359, sections 3.2 and 3.3).

Functions over features: which backbone and which teacher they come from is the caller's business.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadSchedule:
    """The paper's recipe: AdamW, one learning rate per head, both lowered tenfold near the end."""

    steps: int = 6000
    lr_projection: float = 5e-5
    lr_objectness: float = 1e-2
    drop_at: float = 5 / 6
    dino_threshold: float = 0.2


@dataclass
class HeadBatch:
    """Inputs and targets for one step.

    Attributes:
        features: (B, D, h, w), the frozen CLIP's intermediate features.
        correlations: (B, N, N) cosine similarities of DINO's value embeddings, N = h w.
        foreground: (B, h, w) bool or {0, 1}, FOUND's mask.
    """

    features: Tensor
    correlations: Tensor
    foreground: Tensor


def build_heads(width: int, channels: int = 256) -> nn.ModuleDict:
    """The heads g (``obj_proj``) and h (``bkg_decoder``) with random weights; names as in the
    published weights.
    """
    return nn.ModuleDict(
        {
            "obj_proj": nn.Conv2d(width, channels, 3, padding=1, padding_mode="replicate"),
            "bkg_decoder": nn.Conv2d(width, 1, 1),
        }
    )


def projected_correlations(heads: nn.ModuleDict, features: Tensor) -> Tensor:
    """A: cosine similarities (B, N, N) between g's outputs for features (B, D, h, w)."""
    unit = F.normalize(heads["obj_proj"](features).flatten(2), dim=1)
    return unit.transpose(1, 2) @ unit


def objectness_logits(heads: nn.ModuleDict, features: Tensor) -> Tensor:
    """h's logits (B, h, w) for features (B, D, h, w), normalised first."""
    return heads["bkg_decoder"](F.normalize(features, dim=1))[:, 0]


def correlation_loss(learnt: Tensor, teacher: Tensor, threshold: float) -> Tensor:
    """Binary cross-entropy with logits between clamp(A, min=0) and (A_dino >= threshold), both (B,
    N, N).
    """
    return F.binary_cross_entropy_with_logits(
        learnt.clamp(min=0), (teacher >= threshold).to(learnt.dtype)
    )


def objectness_loss(logits: Tensor, foreground: Tensor) -> Tensor:
    """Binary cross-entropy with logits between h's output and FOUND's mask, both (B, h, w)."""
    return F.binary_cross_entropy_with_logits(logits, foreground.to(logits.dtype))


def train_heads(
    heads: nn.ModuleDict, batch_of: Callable[[int], HeadBatch], schedule: HeadSchedule
) -> list[float]:
    """Train both heads with the sum of both losses.

    Args:
        heads: from :func:`build_heads`, changed in place.
        batch_of: gives the batch of a step.

    Returns:
        The loss of every step.
    """
    optimiser = torch.optim.AdamW(
        [
            {"params": heads["obj_proj"].parameters(), "lr": schedule.lr_projection},
            {"params": heads["bkg_decoder"].parameters(), "lr": schedule.lr_objectness},
        ]
    )
    drop = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [max(1, int(schedule.drop_at * schedule.steps))], 0.1
    )
    losses = []
    for step in range(schedule.steps):
        batch = batch_of(step)
        loss = correlation_loss(
            projected_correlations(heads, batch.features),
            batch.correlations,
            schedule.dino_threshold,
        ) + objectness_loss(objectness_logits(heads, batch.features), batch.foreground)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        drop.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            log.info(
                json.dumps(
                    {
                        "stage": "heads",
                        "step": step + 1,
                        "loss": round(float(np.mean(losses[-50:])), 4),
                    }
                )
            )
    return losses
