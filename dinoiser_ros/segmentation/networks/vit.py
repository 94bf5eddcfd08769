# SPDX-License-Identifier: Apache-2.0
"""The steps of a pass through a vision transformer, over the weights of an OpenCLIP tower.

Nothing here calls a block of open_clip: from 2.24 to 2.26 open_clip changed its blocks from
(tokens, batch, width) to (batch, tokens, width), and code that called or hooked them broke
silently. The weights are the same in every version. Nothing here changes a module either, so one
tower may serve several threads. How attention and MLP are computed is passed in, see `blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import BlockHalves, WrittenOutBlock, value_path
from .open_clip_types import Layer, ResidualBlock, VisionTower, residual_blocks


def patch_tokens(tower: VisionTower, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Normalised images (B, 3, H, W) -> patches (B, N, width) and their grid (rows, columns).

    What is left of a row or column of incomplete patches is ignored.
    """
    x: Tensor = tower.conv1(pixels)
    return x.flatten(2).transpose(1, 2), (x.shape[-2], x.shape[-1])


def first_input(tower: VisionTower, cls: Tensor, patches: Tensor) -> Tensor:
    """What the first block reads.

    Args:
        cls: (1, width), the class embedding with its position.
        patches: (B, N, width) with their positions.

    Returns:
        (B, 1 + N, width), CLS first.
    """
    tokens = torch.cat([cls.expand(patches.shape[0], 1, -1), patches], dim=1)
    return tower.ln_pre(tokens)


def embed(tower: VisionTower, pixels: Tensor, positions: Tensor) -> Tensor:
    """Images as the first block reads them, in the type that the convolution gives.

    Args:
        pixels: (B, 3, H, W), normalised.
        positions: (N, width) or (B, N, width) for the patches; CLS has its own.

    Returns:
        (B, 1 + N, width), CLS first.
    """
    patches, _ = patch_tokens(tower, pixels)
    cls = tower.class_embedding + tower.positional_embedding[:1]
    return first_input(tower, cls.to(patches.dtype), patches + positions.to(patches.dtype))


def attention_step(block: ResidualBlock, attention: Layer, x: Tensor) -> tuple[Tensor, Tensor]:
    """The first half of a block with its residual, and what attention read; (B, T, width) each.

    Where `x` is more exact than the block's weights, what attention reads has their type.
    """
    y = _no_wider(block.ln_1(x), block)
    return x + block.ls_1(attention(y)), y


def mlp_step(block: ResidualBlock, mlp: Layer, x: Tensor) -> tuple[Tensor, Tensor]:
    """The second half of a block with its residual, and what the MLP read; (B, T, width) each."""
    y = _no_wider(block.ln_2(x), block)
    return x + block.ls_2(mlp(y)), y


def _no_wider(y: Tensor, block: ResidualBlock) -> Tensor:
    """In the type of the block's matrices, if that has fewer bits."""
    dtype = block.attn.in_proj_weight.dtype
    return y.to(dtype) if y.dtype.itemsize > dtype.itemsize else y


def run_block(block: ResidualBlock, x: Tensor, halves: BlockHalves | None = None) -> Tensor:
    """A whole block, (B, T, width) -> (B, T, width); `WrittenOutBlock` unless told otherwise."""
    halves = halves or WrittenOutBlock(block)
    x, _ = attention_step(block, halves.attention, x)
    return mlp_step(block, halves.mlp, x)[0]


def run_blocks(blocks: Iterable[ResidualBlock], x: Tensor) -> Tensor:
    """Several whole blocks, one after the other."""
    for block in blocks:
        x = run_block(block, x)
    return x


def run_value_path(block: ResidualBlock, x: Tensor, mlp: Layer) -> Tensor:
    """A block whose attention is `value_path`: MaskCLIP's last block, (B, T, width)."""
    x, _ = attention_step(block, lambda y: value_path(block.attn, y), x)
    return mlp_step(block, mlp, x)[0]


def project(tower: VisionTower, x: Tensor) -> Tensor:
    """(B, T, width) -> (B, T, d): final norm and projection into the space shared with text."""
    return tower.ln_post(x) @ tower.proj


def dense_features(tower: VisionTower, x: Tensor, mlp: Layer | None = None) -> Tensor:
    """MaskCLIP's features of the patches, without CLS.

    Args:
        x: (B, 1 + N, width), what the last block reads.
        mlp: how that block's MLP is computed; None for its own.

    Returns:
        (B, N, d) in CLIP's joint space, not normalised.
    """
    block = residual_blocks(tower.transformer)[-1]
    return project(tower, run_value_path(block, x, mlp or block.mlp))[:, 1:]


def resize_positions(
    embedding: Tensor,
    grid: tuple[int, int],
    mode: str = "bicubic",
    extra: float = 0.0,
    prefix: int = 1,
) -> Tensor:
    """Resize a positional embedding to another grid of patches.

    Args:
        embedding: (prefix + n * n, width), CLS first, for the square grid the model was trained
            with.
        grid: rows and columns wanted.
        mode: "bicubic" or "bilinear"; bicubic with `extra`.
        extra: patches by which the scale is too large. DINO's own code has 0.1, as a guard
            against rounding, which shifts the places where the embedding is sampled.
        prefix: rows in front that belong to no patch: 1 for CLS, or 0.

    Returns:
        (prefix + h * w, width): CLS part kept, patch part resized (align_corners=False).
    """
    side = round((len(embedding) - prefix) ** 0.5)
    if (side, side) == tuple(grid):
        return embedding
    if extra:
        table = embedding[prefix:].reshape(side, side, -1)
        down = _resize_rows(table, grid[0], extra)
        resized = _resize_rows(down.transpose(0, 1), grid[1], extra).transpose(0, 1)
        return torch.cat([embedding[:prefix], resized.flatten(0, 1)])
    square = embedding[prefix:].T.reshape(1, -1, side, side)
    patches = F.interpolate(square, size=tuple(grid), mode=mode, align_corners=False)
    return torch.cat([embedding[:prefix], patches[0].flatten(1).T])


def _resize_rows(table: Tensor, count: int, extra: float) -> Tensor:
    """Bicubic interpolation of rows (n, m, width) -> (count, m, width), by (count + extra) / n.

    The same as `F.interpolate` with this scale factor, which has to be a number there; an exported
    graph computes it from the image.
    """
    side = table.shape[0]
    places = (torch.arange(count, device=table.device) + 0.5) * (side / (count + extra)) - 0.5
    first = places.floor()
    resized = torch.zeros_like(table[:1])
    for tap in (-1, 0, 1, 2):
        index = (first + tap).clamp(0, side - 1).long()
        weight = cubic((places - first - tap).abs())
        resized = resized + table.index_select(0, index) * weight[:, None, None]
    return resized


def cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Keys' kernel of bicubic interpolation, PyTorch's by default, for distances from 0 to 2."""
    d = distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return torch.where(d <= 1, near, far)
