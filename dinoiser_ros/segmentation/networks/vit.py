# SPDX-License-Identifier: Apache-2.0
"""Plain passes through an OpenCLIP vision transformer's weights, differentiable, the same on every
open_clip version.

open_clip moved from sequence-first to batch-first blocks at 2.25; nothing here calls a block, only
its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import split_heads
from .clip_backbone import resize_positions


def resized_positions(vision: nn.Module, rows: int, columns: int) -> Tensor:
    """Positional embedding of the patches, resized bicubically to (rows, columns, width)."""
    embedding = vision.positional_embedding.float()  # whatever the tower computes in
    return resize_positions(embedding, (rows, columns))[1:].unflatten(0, (rows, columns))


def qkv(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys, values of a block's input x (B, N, D), each (B, heads, N, D / heads)."""
    attn = block.attn
    return split_heads(
        F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias), attn.num_heads
    )


def attention(block: nn.Module, x: Tensor) -> Tensor:
    """A block's attention without its residual, x and result (B, N, D).

    Written out: for these sizes on a CPU it trains faster than PyTorch's attention kernels, and
    runtimes that read an exported model recognise it.
    """
    q, k, v = qkv(block, x)
    weights = ((q * block.attn.head_dim**-0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
    return block.attn.out_proj((weights @ v).transpose(1, 2).flatten(2))


def attend(block: nn.Module, x: Tensor) -> Tensor:
    """`attention` with its residual, x and result (B, N, D)."""
    return x + attention(block, x)


def run_block(block: nn.Module, x: Tensor) -> Tensor:
    """A pre-norm residual attention block, x and result (B, N, D)."""
    x = attend(block, x)
    return x + block.mlp(block.ln_2(x))


def embed(vision: nn.Module, images: Tensor, positions: Tensor) -> Tensor:
    """Patches plus CLS plus positions, normalised.

    Args:
        images: (B, 3, H, W), normalised.
        positions: (B, N, D) or (N, D) for the patches; the CLS token's is added here.

    Returns:
        (B, 1 + N, D), CLS first.
    """
    x = vision.conv1(images).flatten(2).transpose(1, 2)
    x = x + positions.to(x.dtype)
    cls = (vision.class_embedding + vision.positional_embedding[0]).to(x.dtype)
    return vision.ln_pre(torch.cat([cls.expand(x.shape[0], 1, -1), x], dim=1))


def trunk(vision: nn.Module, x: Tensor, blocks: int | None = None) -> Tensor:
    """All blocks but the last (or the first ``blocks``), x and result (B, 1 + N, D)."""
    stack = vision.transformer.resblocks
    for block in stack[: len(stack) - 1 if blocks is None else blocks]:
        x = run_block(block, x)
    return x
