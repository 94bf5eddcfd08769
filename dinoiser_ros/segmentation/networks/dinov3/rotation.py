# SPDX-License-Identifier: Apache-2.0
"""Rotary positions of patches in two directions (RoPE), as DINOv3 has them (arXiv 2508.10104).

Pairs of channels of queries and keys are turned by angles that grow with a patch's row and column,
so that their products depend on how far two patches are apart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BASE = 100.0  # of the periods, where a file does not have them


def default_periods(head_width: int) -> Tensor:
    """(head_width / 4,): periods in halves of an image's side, from 1 to almost `BASE`."""
    quarter = head_width // 4
    return BASE ** (torch.arange(quarter, dtype=torch.float32) / quarter)


def rotation(grid: tuple[int, int], periods: Tensor, prefix: int) -> Tensor:
    """Sines and cosines for the tokens of an image.

    Args:
        grid: rows h and columns w of patches.
        periods: (c / 4,) float32, for heads of c channels.
        prefix: tokens in front of the patches; they have no place, and are not turned.

    Returns:
        (2, prefix + h * w, c) float32: sines, then cosines.
    """
    rows, columns = (
        2 * (torch.arange(count, device=periods.device) + 0.5) / count - 1 for count in grid
    )
    down = (2 * math.pi * rows)[:, None] / periods
    across = (2 * math.pi * columns)[:, None] / periods
    height, width = grid
    angles = torch.cat(
        [
            down[:, None].expand(height, width, -1),
            across[None].expand(height, width, -1),
        ],
        dim=-1,
    ).flatten(0, 1)
    angles = torch.cat([angles, angles], dim=-1)
    angles = torch.cat([angles.new_zeros(prefix, angles.shape[-1]), angles])
    return torch.stack([angles.sin(), angles.cos()])


def turned(qkv: Tensor, table: Tensor) -> Tensor:
    """Queries, keys and values, the first two turned.

    Args:
        qkv: (B, T, 3 * width), heads beside each other.
        table: (2, T, c) of `rotation`.

    Returns:
        (B, T, 3 * width), in the type of `qkv`; the angles' type computes.
    """
    width = qkv.shape[-1] // 3
    heads = qkv[..., : 2 * width].unflatten(-1, (-1, table.shape[-1])).to(table.dtype)
    sine, cosine = table[:, :, None]
    first, second = heads.chunk(2, dim=-1)
    other = torch.cat([-second, first], dim=-1)
    both = (heads * cosine + other * sine).flatten(-2).to(qkv.dtype)
    return torch.cat([both, qkv[..., 2 * width :]], dim=-1)
