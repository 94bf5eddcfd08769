# SPDX-License-Identifier: Apache-2.0
"""The passes that training CLIP and the heads needs, on top of those of `segmentation.vit`.

open_clip moved from sequence-first to batch-first blocks at 2.25; nothing here calls a block, only
its weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.vit import (
    attend,
    embed,
    qkv,
    resized_positions,
    run_block,
    trunk,
)

__all__ = [
    "attend",
    "dense_features",
    "embed",
    "normalised",
    "pooled_features",
    "qkv",
    "resized_positions",
    "run_block",
    "trunk",
    "value_path",
]


def normalised(rgb: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float: from 0 to 1, less the mean, over the deviation."""
    x = rgb.permute(0, 3, 1, 2).float() / 255
    centre, spread = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (mean, std))
    return (x - centre) / spread


def value_path(block: nn.Module, x: Tensor) -> Tensor:
    """A block with its attention replaced by the identity (MaskCLIP, arXiv 2112.01071): each token
    sees itself.
    """
    d = x.shape[-1]
    attention = block.attn
    v = F.linear(block.ln_1(x), attention.in_proj_weight[2 * d :], attention.in_proj_bias[2 * d :])
    x = x + attention.out_proj(v)
    return x + block.mlp(block.ln_2(x))


def dense_features(vision: nn.Module, x: Tensor) -> Tensor:
    """MaskCLIP's patch features (B, N, embed_dim) from the last block's input (B, 1 + N, D)."""
    y = value_path(vision.transformer.resblocks[-1], x)
    return vision.ln_post(y)[:, 1:] @ vision.proj


def pooled_features(vision: nn.Module, x: Tensor) -> Tensor:
    """CLIP's image embedding (B, embed_dim), average pooled, from the last block's input (B, 1 + N,
    D).
    """
    y = run_block(vision.transformer.resblocks[-1], x)
    return vision.ln_post(y)[:, 1:].mean(dim=1) @ vision.proj
