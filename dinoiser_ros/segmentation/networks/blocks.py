# SPDX-License-Identifier: Apache-2.0
"""The two halves of a transformer block, attention and MLP, over the block's weights.

`vit` adds norms and residuals. `onednn_blocks` has a third way to compute the halves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from .open_clip_types import ResidualBlock

Turn = Callable[[Tensor], Tensor]


class BlockHalves(Protocol):
    """A block without its norms and residuals; both halves are (B, T, width) -> (B, T, width)."""

    def attention(self, x: Tensor, /, turn: Turn | None = None) -> Tensor:
        """Multi-head self-attention of `ln_1`'s output.

        Args:
            turn: what is done with queries, keys and values (B, T, 3 * width) before they meet,
                where positions are part of attention.
        """

    def mlp(self, x: Tensor, /) -> Tensor:
        """The MLP of `ln_2`'s output."""


class PlainBlock:
    """PyTorch's own operators, with its fused attention: the reference, on every device.

    Args:
        block: of an OpenCLIP transformer.
    """

    def __init__(self, block: ResidualBlock) -> None:
        self._attn = block.attn
        self._mlp = block.mlp

    def attention(self, x: Tensor, /, turn: Turn | None = None) -> Tensor:
        """See `BlockHalves.attention`."""
        qkv = F.linear(x, self._attn.in_proj_weight, self._attn.in_proj_bias)
        qkv = turn(qkv) if turn else qkv
        mixed: Tensor = self._attn.out_proj(attend(qkv, self._attn.num_heads))
        return mixed

    def mlp(self, x: Tensor) -> Tensor:
        """See `BlockHalves.mlp`."""
        y: Tensor = self._mlp(x)
        return y


class WrittenOutBlock(PlainBlock):
    """The same with attention as two products and a softmax, for training and for export.

    For the sizes of the embedded models it trains faster on a CPU than PyTorch's fused attention,
    and the runtimes that read an exported model recognise it.
    """

    def attention(self, x: Tensor, /, turn: Turn | None = None) -> Tensor:
        """See `BlockHalves.attention`."""
        qkv = F.linear(x, self._attn.in_proj_weight, self._attn.in_proj_bias)
        q, k, v = split_heads(turn(qkv) if turn else qkv, self._attn.num_heads)
        weights = ((q * self._attn.head_dim**-0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
        mixed: Tensor = self._attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return mixed


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
    q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def queries_keys_values(attn: nn.MultiheadAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`ln_1`'s output (B, T, width) -> (B, heads, T, width / heads) each."""
    return split_heads(F.linear(x, attn.in_proj_weight, attn.in_proj_bias), attn.num_heads)


def projection(attn: nn.MultiheadAttention, x: Tensor, index: int) -> Tensor:
    """Queries (0), keys (1) or values (2) of `ln_1`'s output, all heads together: (B, T, width)."""
    rows = slice(index * attn.embed_dim, (index + 1) * attn.embed_dim)
    bias = None if attn.in_proj_bias is None else attn.in_proj_bias[rows]
    return F.linear(x, attn.in_proj_weight[rows], bias)


def value_path(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """Attention with each token seeing only itself (MaskCLIP, arXiv 2112.01071, section 3.1)."""
    y: Tensor = attn.out_proj(projection(attn, x, 2))
    return y


def attention_maps(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(B, heads, T, T) float32: what attention weighs the values with; rows sum to 1."""
    q, k = (_by_head(attn, projection(attn, x, index)).float() for index in (0, 1))
    scores: Tensor = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return scores.softmax(dim=-1)


def attend_with(attn: nn.MultiheadAttention, x: Tensor, maps: Tensor) -> Tensor:
    """Attention with given weights (B, heads, T, T): (B, T, width) -> (B, T, width)."""
    values = _by_head(attn, projection(attn, x, 2))
    mixed = maps.to(values.dtype) @ values
    out: Tensor = attn.out_proj(mixed.transpose(1, 2).flatten(2))
    return out


class SummedMaps:
    """Attention by way of its maps, which are added up from block to block.

    Attributes:
        total: (B, heads, T, T) float32; None before the first block.
    """

    def __init__(self) -> None:
        self.total: Tensor | None = None

    def attend(self, attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        maps = attention_maps(attn, x)
        self.total = maps if self.total is None else self.total + maps
        return attend_with(attn, x, maps)


def _by_head(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(B, T, width) -> (B, heads, T, width / heads)."""
    split: Tensor = x.unflatten(-1, (attn.num_heads, -1))
    return split.transpose(1, 2)
