"""Averaging over patches that look alike: guided pooling and key smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

KS_THRESHOLD = 1.0  # of key smoothing: every patch that is not entirely sure


def correlations(embeddings: Tensor) -> Tensor:
    """Cosine similarities (B, N, N) in [-1, 1] of all pairs of embeddings (B, N, D)."""
    unit = F.normalize(embeddings, dim=-1)
    return unit @ unit.transpose(-1, -2)


def guided_pooling(features: Tensor, correlations: Tensor, gamma: float) -> Tensor:
    """Average every patch's features over the patches that correlate with it (CLIP-DINOiser, arXiv
    2312.12359, section 3.2).

    F+_p = sum_q A_pq F_q / (sum_q A_pq + 1e-6), with entries of A below gamma set to 0 (equation
    3).

    Args:
        features: (B, d, h, w) MaskCLIP features F, not normalised; or predictions.
        correlations: (B, N, N) A in [-1, 1], N = h * w; overwritten: a second such matrix is 1 GB
            for an image of 4 megapixels.
        gamma: threshold in [0, 1].

    Returns:
        (B, d, h, w) float32 pooled features F+.
    """
    weights = correlations.masked_fill_(correlations < gamma, 0.0)
    pooled = features.float().flatten(2) @ weights.transpose(1, 2)
    pooled = pooled / (weights.sum(dim=-1).unsqueeze(1) + 1e-6)
    return pooled.reshape(features.shape)


def key_smoothing(probabilities: Tensor, keys: Tensor, threshold: float) -> Tensor:
    """Let patches that are unsure follow those whose keys are similar (MaskCLIP, arXiv 2112.01071,
    section 3.2): p <- (k k^T) p.

    The paper leaves the result as it is; here it is scaled to a sum of 1 over the classes, which
    changes no label and keeps it a probability. A patch that all others would vote down (only
    possible with negative similarities) keeps its own.

    Args:
        probabilities: (B, K, h, w) softmax over the classes.
        keys: (B, N, D) of the last attention layer, N = h * w, any scale.
        threshold: patches whose highest probability is below it are smoothed (0 to 1).

    Returns:
        (B, K, h, w) float32.
    """
    flat = probabilities.float().flatten(2)
    voted = (flat @ correlations(keys.float())).clamp(min=0.0)
    total = voted.sum(dim=1, keepdim=True)
    smooth = (flat.amax(dim=1, keepdim=True) < threshold) & (total > 0)
    return torch.where(smooth, voted / total, flat).reshape(probabilities.shape)
