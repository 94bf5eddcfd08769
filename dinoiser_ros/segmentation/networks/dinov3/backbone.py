# SPDX-License-Identifier: Apache-2.0
"""Dense features of a DINOv3: its patch tokens behind the last norm, as Talk2DINO reads them."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.blocks import BlockHalves
from dinoiser_ros.segmentation.networks.dinov2.backbone import DinoV2Backbone
from dinoiser_ros.segmentation.networks.open_clip_types import Layer, VisionTower

from .rotation import rotation, turned
from .tower import DinoV3Tower


class DinoV3Backbone(DinoV2Backbone):
    """As `DinoV2Backbone`, for a `DinoV3Tower`: positions turn queries and keys in every block.

    The scores of CLS are those of queries and keys before that, as Talk2DINO reads them.
    """

    family = "dinov3"

    def _checked(self, visual: nn.Module) -> VisionTower:
        if not isinstance(visual, DinoV3Tower):
            raise WeightsError(f"The vision tower {type(visual).__name__} is no DINOv3's.")
        self.prefix = 1 + len(visual.register_tokens)
        return visual

    def _embed(self, images: Tensor, mode: str) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self._patches(images)
        tower = cast("DinoV3Tower", self.visual)
        first = torch.cat([tower.class_embedding[None], tower.register_tokens])
        first = first.to(patches.dtype).expand(patches.shape[0], -1, -1)
        return torch.cat([first, patches], dim=1), grid

    def _attention(self, halves: BlockHalves, grid: tuple[int, int], mode: str) -> Layer:
        return partial(halves.attention, turn=partial(turned, table=self._position(grid, mode)))

    @property
    def _position_dtype(self) -> torch.dtype:
        return torch.float32

    def _resized_positions(self, grid: tuple[int, int], mode: str) -> Tensor:
        periods = cast("DinoV3Tower", self.visual).periods.float()
        return rotation(grid, periods, self.prefix)
