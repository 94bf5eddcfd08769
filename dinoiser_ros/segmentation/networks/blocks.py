# SPDX-License-Identifier: Apache-2.0
"""The two halves of a transformer block, attention and MLP, over its weights: the plain way.

`fast_blocks` has the same in another way.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn


class Block(Protocol):
    """A block without its norms and residuals; both halves are (B, T, width) -> (B, T, width)."""

    def attention(self, x: Tensor) -> Tensor:
        """Multi-head self-attention of `ln_1`'s output."""

    def mlp(self, x: Tensor) -> Tensor:
        """The MLP of `ln_2`'s output."""


class PlainBlock:
    """PyTorch's own operators, one after the other: the reference, on every device.

    Args:
        block: of an OpenCLIP transformer, whose blocks cannot be called themselves: open_clip
            turned them from sequence-first to batch-first between 2.24 and 2.26.
    """

    def __init__(self, block: nn.Module) -> None:
        self._attn: nn.MultiheadAttention = block.attn
        self.mlp = block.mlp

    def attention(self, x: Tensor) -> Tensor:
        """See `Block.attention`."""
        attn = self._attn
        qkv = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
        return attn.out_proj(attend(qkv, attn.num_heads))


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Scaled dot-product attention.

    Args:
        qkv: (B, T, 3 * width), queries, keys and values beside each other.

    Returns:
        (B, T, width).
    """
    out = F.scaled_dot_product_attention(*split_heads(qkv, heads))
    return out.transpose(1, 2).flatten(2)


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, 3 * width) -> queries, keys, values, each (B, heads, T, width / heads)."""
    return qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
