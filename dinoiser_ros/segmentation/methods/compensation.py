# SPDX-License-Identifier: Apache-2.0
"""CLIPer's fine-grained compensation (arXiv 2411.13836, section 3.3), as its released code has it.

Details come from a diffusion model's self-attention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dinoiser_ros.segmentation.pixels.postprocess import upsample

_EPSILON = 1e-5  # in both divisions of the released code


def compensation_weights(attention: Tensor, attention_thr: float) -> Tensor:
    """One self-attention map as weights.

    Each entry is taken relative to its column's maximum, what is weak is removed, and rows are
    normalised.

    Args:
        attention: (..., N, N), rows sum to 1.
        attention_thr: relative entries below it become 0 (0 to 1).

    Returns:
        (..., N, N) float32 in [0, 1]; rows sum to at most 1.
    """
    attention = attention.float()
    relative = attention / (attention.amax(dim=-2, keepdim=True) + _EPSILON)
    relative = relative.masked_fill(relative < attention_thr, 0.0)
    return relative / (relative.sum(dim=-1, keepdim=True) + _EPSILON)


def compensate(scores: Tensor, maps: Sequence[Tensor], attention_thr: float) -> Tensor:
    """Spread scores along a chain of attention maps: scores x (A_1 A_2 ... A_n)^T.

    The matrices are applied one after the other, the last one first: the same as their product, in
    a fraction of the time and with one of them in memory.

    Args:
        scores: (K, N).
        maps: for each layer (heads, N, N); every head is one matrix of the chain.
        attention_thr: see `compensation_weights`.

    Returns:
        (K, N) float32, within the range of the scores and 0.
    """
    spread = scores.float().T
    for layer in reversed(maps):
        for head in reversed(range(len(layer))):
            spread = compensation_weights(layer[head], attention_thr) @ spread
    return spread.T


def compensate_image(
    scores: Tensor,
    maps: Sequence[Tensor],
    attention_thr: float,
    patch_size: int,
    shape: tuple[int, int],
) -> Tensor:
    """Bring one image's scores to the diffusion model's grid and compensate them there.

    Args:
        scores: (K, h, w) on the patch grid.
        maps: for each layer (heads, S * S, S * S); S is 64 for Stable Diffusion at 512 x 512.
        attention_thr: see `compensation_weights`.
        patch_size: pixels of a patch's side.
        shape: height and width of the image that the patch grid covers.

    Returns:
        (K, S, S) float32; this grid covers the image alone, without what it was padded with.
    """
    side = math.isqrt(maps[0].shape[-1])
    square = upsample(scores[None].float(), patch_size, shape, (side, side))[0]
    return compensate(square.flatten(1), maps, attention_thr).reshape(-1, side, side)


def compensate_batch(
    scores: Tensor,
    maps: Sequence[Sequence[Tensor]],
    attention_thr: float,
    patch_size: int,
    shape: tuple[int, int],
) -> Tensor:
    """`compensate_image` for each image: (B, K, h, w) and maps for each of B to (B, K, S, S)."""
    images = zip(scores, maps, strict=True)
    return torch.stack(
        [compensate_image(one, own, attention_thr, patch_size, shape) for one, own in images]
    )
