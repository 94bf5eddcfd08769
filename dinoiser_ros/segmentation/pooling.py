"""Guided pooling of dense features (CLIP-DINOiser, arXiv 2312.12359, section 3.2)."""

from __future__ import annotations

from torch import Tensor


def guided_pooling(features: Tensor, correlations: Tensor, gamma: float) -> Tensor:
    """Average every patch's features over the patches that correlate with it.

    F+_p = sum_q A_pq F_q / (sum_q A_pq + 1e-6), with entries of A below gamma set to 0 (equation
    3).

    Args:
        features: (B, d, h, w) MaskCLIP features F, not normalised.
        correlations: (B, N, N) A in [-1, 1], N = h * w.
        gamma: threshold in [0, 1].

    Returns:
        (B, d, h, w) float32 pooled features F+.
    """
    weights = correlations.masked_fill(correlations < gamma, 0.0)
    pooled = features.float().flatten(2) @ weights.transpose(1, 2)
    pooled = pooled / (weights.sum(dim=-1).unsqueeze(1) + 1e-6)
    return pooled.reshape(features.shape)
