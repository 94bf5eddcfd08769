# SPDX-License-Identifier: Apache-2.0
"""DINOv2's vision transformer, with the names of weights that OpenCLIP has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dinoiser_ros.segmentation.networks.register_tower import RegisterSizes, RegisterTower

EPSILON = 1e-6  # of all layer norms


@dataclass(frozen=True)
class DinoV2Sizes(RegisterSizes):
    """The architecture.

    Attributes:
        side: of the square grid of its positions, in patches.
    """

    side: int


class DinoV2Tower(RegisterTower):
    """The network, with random weights.

    Attributes:
        positional_embedding: (1 + side * side, width), CLS first.
    """

    def __init__(self, sizes: DinoV2Sizes) -> None:
        super().__init__(sizes, EPSILON)
        self.positional_embedding = nn.Parameter(torch.zeros(1 + sizes.side**2, sizes.width))
