# SPDX-License-Identifier: Apache-2.0
"""The losses that CLIP-DINOiser's heads are trained with (arXiv 2312.12359, sections 3.2, 3.3).

Functions over features: which backbone and which teacher they come from is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads


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


def projected_correlations(heads: DinoiserHeads, features: Tensor) -> Tensor:
    """A: cosine similarities (B, N, N) of g's outputs for features (B, D, h, w).

    `pooling.correlations` gives the same numbers. With channels first, as here, gradients are
    summed in the order that earlier trainings had.
    """
    unit = F.normalize(heads.embeddings(features).transpose(1, 2), dim=1)
    return unit.transpose(1, 2) @ unit


def correlation_loss(learnt: Tensor, teacher: Tensor, threshold: float) -> Tensor:
    """Binary cross-entropy with logits between clamp(A, min=0) and (A_dino >= threshold).

    Both are (B, N, N).
    """
    return F.binary_cross_entropy_with_logits(
        learnt.clamp(min=0), (teacher >= threshold).to(learnt.dtype)
    )


def objectness_loss(logits: Tensor, foreground: Tensor) -> Tensor:
    """Binary cross-entropy with logits between h's output and FOUND's mask, both (B, h, w)."""
    return F.binary_cross_entropy_with_logits(logits, foreground.to(logits.dtype))


def head_losses(heads: DinoiserHeads, batch: HeadBatch, threshold: float) -> tuple[Tensor, Tensor]:
    """The losses of g and h, whose sum is trained with."""
    learnt = projected_correlations(heads, batch.features)
    logits = heads.objectness(batch.features)[:, 0]
    return (
        correlation_loss(learnt, batch.correlations, threshold),
        objectness_loss(logits, batch.foreground),
    )
