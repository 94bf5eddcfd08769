# SPDX-License-Identifier: Apache-2.0
"""What training the embedded model needs of a vision transformer besides `networks.vit`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower, residual_blocks
from dinoiser_ros.segmentation.networks.vit import resize_positions, run_block, run_blocks


def normalised(rgb: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float: from 0 to 1, less the mean, over the deviation."""
    x = rgb.permute(0, 3, 1, 2).float() / 255
    centre, spread = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (mean, std))
    return (x - centre) / spread


def patch_positions(tower: VisionTower, rows: int, columns: int) -> Tensor:
    """Positional embedding of the patches, resized bicubically to (rows, columns, width)."""
    embedding = tower.positional_embedding.float()  # whatever the tower computes in
    return resize_positions(embedding, (rows, columns))[1:].reshape(rows, columns, -1)


def trunk(tower: VisionTower, x: Tensor) -> Tensor:
    """All blocks but the last, (B, 1 + N, width) -> (B, 1 + N, width)."""
    return run_blocks(residual_blocks(tower.transformer)[:-1], x)


def pooled_features(tower: VisionTower, x: Tensor) -> Tensor:
    """CLIP's image embedding, the average over the patches.

    Args:
        x: (B, 1 + N, width), what the last block reads.

    Returns:
        (B, embed_dim), not normalised.
    """
    y = run_block(residual_blocks(tower.transformer)[-1], x)
    return tower.ln_post(y)[:, 1:].mean(dim=1) @ tower.proj
