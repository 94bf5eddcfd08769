# SPDX-License-Identifier: Apache-2.0
"""Dense features of a DINOv2: its patch tokens behind the last norm, as Talk2DINO reads them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks import vit
from dinoiser_ros.segmentation.networks.blocks import projection
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import MEAN, STD
from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower

from .tower import DinoV2Tower


class DinoV2Backbone(Backbone):
    """As `Backbone`, for a `DinoV2Tower`; all blocks are run in full."""

    family = "dinov2"
    default_statistics = (MEAN, STD)
    _spared = 0

    @property
    def _tower(self) -> DinoV2Tower:
        return cast("DinoV2Tower", self.visual)

    def _checked(self, visual: nn.Module) -> VisionTower:
        if not isinstance(visual, DinoV2Tower):
            raise WeightsError(f"The vision tower {type(visual).__name__} is no DINOv2's.")
        self.prefix = 1 + len(visual.register_tokens)
        return visual

    def _dim(self) -> int:
        return self._tower.conv1.out_channels

    def _embed(self, images: Tensor, mode: str) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self._patches(images)
        positions, tower = self._position(grid, mode), self._tower
        first = torch.cat([tower.class_embedding + positions[:1], tower.register_tokens])
        first = first.to(patches.dtype).expand(patches.shape[0], -1, -1)
        return torch.cat([first, patches + positions[1:]], dim=1), grid

    def _resized_positions(self, grid: tuple[int, int], mode: str) -> Tensor:
        embedding = self._tower.positional_embedding.float()
        side = round((len(embedding) - 1) ** 0.5)
        if (side, side) == tuple(grid):
            return embedding
        table = embedding[1:].reshape(side, side, -1)
        rows = _smoothed(table, grid[0])
        patches = _smoothed(rows.transpose(0, 1), grid[1]).transpose(0, 1)
        return torch.cat([embedding[:1], patches.flatten(0, 1)])

    def _features(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        features = self._tower.ln_post(x[:, self.prefix :])
        return features.transpose(1, 2).reshape(x.shape[0], self.dim, *grid)

    def _cls_scores(self, normed: Tensor) -> Tensor:
        attn = self.blocks[-1].attn
        asking = projection(attn, normed[:, :1], 0).unflatten(-1, (attn.num_heads, -1))
        keys = projection(attn, normed[:, self.prefix :], 1).unflatten(-1, (attn.num_heads, -1))
        scaled = asking.transpose(1, 2).float() * attn.head_dim**-0.5
        scores: Tensor = scaled @ keys.permute(0, 2, 3, 1).float()
        return scores.squeeze(2)


def _smoothed(table: Tensor, count: int) -> Tensor:
    """Bicubic interpolation with antialiasing of rows (n, m, width) -> (count, m, width).

    The same as `F.interpolate` with `antialias`, whose kernel has a = -0.5 and grows with the step
    where rows get fewer; as a product of matrices, which an exported graph makes for any image.
    """
    side = table.shape[0]
    places = (torch.arange(count, device=table.device) + 0.5) * (side / count)
    rows = torch.arange(side, device=table.device) + 0.5
    widths = torch.ones_like(rows[:1]) * (side / count)
    distance = (rows[None, :] - places[:, None]).abs() / widths.clamp(min=1.0)
    weights = torch.where(distance < 2, vit.cubic(distance, -0.5), torch.zeros_like(distance))
    weights = weights.to(table.dtype)
    return torch.einsum("ij,jmw->imw", weights / weights.sum(dim=1, keepdim=True), table)
