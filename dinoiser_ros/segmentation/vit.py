"""Plain passes through an OpenCLIP vision transformer's weights, differentiable, the same on every
open_clip version.

open_clip moved from sequence-first to batch-first blocks at 2.25; nothing here calls a block, only
its weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import resize_positions


def resized_positions(vision: nn.Module, rows: int, columns: int) -> Tensor:
    """Positional embedding of the patches, resized bicubically to (rows, columns, width)."""
    embedding = vision.positional_embedding.float()  # whatever the tower computes in
    return resize_positions(embedding, (rows, columns))[1:].unflatten(0, (rows, columns))


def qkv(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys, values of a block's input x (B, N, D), each (B, heads, N, D / heads)."""
    attention = block.attn
    b, n, d = x.shape
    y = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    y = y.reshape(b, n, 3, attention.num_heads, d // attention.num_heads).permute(2, 0, 3, 1, 4)
    return y[0], y[1], y[2]


def attend(block: nn.Module, x: Tensor) -> Tensor:
    """A block's attention with its residual, x and result (B, N, D).

    Written out: for these sizes on a CPU it trains faster than PyTorch's attention kernels.
    """
    q, k, v = qkv(block, x)
    weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)
    return x + block.attn.out_proj((weights @ v).transpose(1, 2).flatten(2))


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
