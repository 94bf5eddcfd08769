# SPDX-License-Identifier: Apache-2.0
"""What the heads learn from: CLIP's intermediate features, DINO's and FOUND's targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.methods.pooling import correlations
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import DinoTower, LastLayer

from .losses import HeadBatch


@dataclass(frozen=True)
class Teachers:
    """The frozen networks whose knowledge the heads take over.

    Attributes:
        dino: its values' correlations teach g.
        found_dino: what `found` reads; may be the same object as `dino`.
        found: a last layer to (B, N) float in [0, 1], above 0.5 where there are objects.
    """

    dino: DinoTower
    found_dino: DinoTower
    found: Callable[[LastLayer], Tensor]


class HeadTeacher:
    """Makes the heads' training batches from unlabelled pictures with frozen networks.

    Args:
        backbone: the CLIP that the heads are for, with the layer that they read.
        teachers: DINO and FOUND.
        precision: what the frozen networks compute in (mixed precision, unless float32).
    """

    def __init__(
        self, backbone: Backbone, teachers: Teachers, precision: torch.dtype = torch.float32
    ) -> None:
        self.backbone, self.teachers, self.precision = backbone, teachers, precision

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> HeadBatch:
        """The batch of some pictures.

        Args:
            rgb: (B, H, W, 3) uint8; H and W are multiples of all networks' patch sizes.
        """
        rgb = rgb.to(self.backbone.device, non_blocking=True)
        mixed = self.precision != torch.float32
        with torch.autocast(rgb.device.type, self.precision if mixed else None, enabled=mixed):
            images = rgb.permute(0, 3, 1, 2).float() / 255
            features = self.backbone(images).intermediate_map
            last = self.teachers.dino(images)
            shared = self.teachers.found_dino is self.teachers.dino
            found_last = last if shared else self.teachers.found_dino(images)
        grid = (features.shape[2], features.shape[3])
        values = on_grid(last.values, last.grid, grid)
        likely = self.teachers.found(found_last)[..., None]
        foreground = on_grid(likely, found_last.grid, grid)[..., 0] > 0.5
        return HeadBatch(features.float(), correlations(values), foreground.unflatten(1, grid))


def on_grid(maps: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Patch maps (B, N, C) on another grid, bilinearly, as they are where the grids agree.

    Args:
        source, target: (rows, columns) of what is given and of what is wanted.

    Returns:
        (B, rows * columns of the target, C).
    """
    if source == target:
        return maps
    x = maps.transpose(1, 2).unflatten(2, source)
    x = F.interpolate(x, size=target, mode="bilinear", align_corners=False, antialias=True)
    return x.flatten(2).transpose(1, 2)
