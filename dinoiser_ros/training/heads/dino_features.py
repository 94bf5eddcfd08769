# SPDX-License-Identifier: Apache-2.0
"""What heads learn from DINO: its last attention layer, whichever network computes it.

A DINO here is any module with what `Dino` lists: an OpenCLIP tower
(`OpenClipDino`) or a network in DINO's and timm's own layout (`dino_vit.DinoViT`).
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.dino import MEAN, STD, LastLayer, last_layer
from dinoiser_ros.training.demo.vit import normalised


class Dino(Protocol):
    """A frozen DINO; `width` is that of its keys and values."""

    patch_size: int
    width: int

    def last_layer(self, images: Tensor) -> LastLayer:
        """The last attention layer for normalised images (B, 3, H, W), sides multiples of the
        patch.
        """


class OpenClipDino(nn.Module):
    """A DINO whose network is the vision tower of an OpenCLIP config, such as the embedded one."""

    def __init__(self, vision: nn.Module) -> None:
        super().__init__()
        self.vision = vision
        self.patch_size: int = vision.conv1.kernel_size[0]
        self.width: int = vision.conv1.out_channels

    def last_layer(self, images: Tensor) -> LastLayer:
        """See `Dino`."""
        return last_layer(self.vision, images)


def normalise(rgb: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float with ImageNet's mean and standard deviation."""
    return normalised(rgb, MEAN, STD)


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
