# SPDX-License-Identifier: Apache-2.0
"""Averaging over patches that look alike: guided pooling and key smoothing."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Correlations that are held at once (256 MB): those of 4 megapixels would take 1 GB.
_AT_ONCE = 1 << 26
_IN_CACHE = 1 << 21  # the same on a CPU (8 MB), which reads them three times


def correlations(embeddings: Tensor) -> Tensor:
    """Cosine similarities (B, N, N) in [-1, 1] of all pairs of embeddings (B, N, D)."""
    unit = F.normalize(embeddings, dim=-1)
    return unit @ unit.transpose(-1, -2)


def guided_pooling(features: Tensor, embeddings: Tensor, gamma: float) -> Tensor:
    """Average every patch's features over the patches that correlate with it.

    This is CLIP-DINOiser's guided pooling (arXiv 2312.12359, section 3.2):
    F+_p = sum_q A_pq F_q / (sum_q A_pq + 1e-6), where A are the `correlations` with entries below
    gamma set to 0 (equation 3).

    Args:
        features: (B, d, h, w) MaskCLIP features F, not normalised; or predictions.
        embeddings: (B, N, D) of the patches, N = h * w, any scale.
        gamma: threshold in [0, 1].

    Returns:
        (B, d, h, w) float32 pooled features F+.
    """
    unit = F.normalize(embeddings, dim=-1)
    flat = features.float().flatten(2).transpose(1, 2).contiguous()
    pooled = []
    for rows in _blocks(unit):
        weights = unit[:, rows] @ unit.transpose(1, 2)
        _cut(weights, gamma)
        pooled.append((weights @ flat) / (weights.sum(dim=-1, keepdim=True) + 1e-6))
    return torch.cat(pooled, dim=1).transpose(1, 2).reshape(features.shape)


def _cut(weights: Tensor, gamma: float) -> None:
    """Set entries below gamma to 0, in place; NaN stays."""
    if _is_tracing():  # ONNX knows no threshold
        weights.masked_fill_(weights < gamma, 0.0)
        return
    # In one pass; what `threshold_` sets to 0 is the number itself and all below.
    below = np.nextafter(np.float32(gamma), np.float32(-np.inf))
    F.threshold(weights, float(below), 0.0, inplace=True)


def _is_tracing() -> bool:
    """Whether an exported graph is made: it is for any number of patches."""
    # torch does not declare the function's type.
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call, unused-ignore]


def _blocks(unit: Tensor) -> list[slice]:
    """Patches of (B, N, D) whose correlations with all others are held at once."""
    if _is_tracing():
        return [slice(None)]
    batch, patches, _ = unit.shape
    most = min(_AT_ONCE, _IN_CACHE) if unit.device.type == "cpu" else _AT_ONCE
    rows = max(1, most // (batch * patches))
    return [slice(first, first + rows) for first in range(0, patches, rows)]


def key_smoothing(
    probabilities: Tensor, keys: Tensor, threshold: float, exclusive: bool = True
) -> Tensor:
    """Let patches that are unsure follow those whose keys are similar: p <- (k k^T) p.

    This is MaskCLIP's key smoothing (arXiv 2112.01071, section 3.2). The paper leaves the
    result as it is; here it is scaled to a sum of 1 over the classes, which changes no label and
    keeps it a probability. A patch that all others would vote down (only possible with negative
    similarities) keeps its own. Where classes do not exclude each other, the sum of the
    similarities' sizes is divided by instead: an average, which keeps what a score says.

    Args:
        probabilities: (B, K, h, w) softmax over the classes.
        keys: (B, N, D) of the last attention layer, N = h * w, any scale.
        threshold: patches whose highest probability is below it are smoothed (0 to 1).
        exclusive: whether the probabilities of a patch sum to 1.

    Returns:
        (B, K, h, w) float32.
    """
    flat = probabilities.float().flatten(2)
    unit = F.normalize(keys.float(), dim=-1)
    parts = [flat @ (unit @ unit[:, rows].transpose(1, 2)) for rows in _blocks(unit)]
    voted = torch.cat(parts, dim=2).clamp_(min=0.0)
    total = voted.sum(dim=1, keepdim=True)
    # Not "total > 0": keys that are NaN have to be seen in the result.
    smooth = (flat.amax(dim=1, keepdim=True) < threshold) & ~(total <= 0)
    scale = total if exclusive else _sizes(unit)
    return torch.where(smooth, voted / scale, flat).reshape(probabilities.shape)


def _sizes(unit: Tensor) -> Tensor:
    """The sum of each patch's similarities without their signs, (B, 1, N), at least 1."""
    parts = [(unit @ unit[:, rows].transpose(1, 2)).abs().sum(dim=1) for rows in _blocks(unit)]
    return torch.cat(parts, dim=1)[:, None]
