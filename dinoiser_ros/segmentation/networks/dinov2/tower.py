# SPDX-License-Identifier: Apache-2.0
"""DINOv2's vision transformer, with the names of weights that OpenCLIP has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower
from dinoiser_ros.segmentation.networks.plain_clip import LayerNorm, PlainTransformer

EPSILON = 1e-6  # of all layer norms
HEAD_WIDTH = 64  # of every ViT that DINOv2 was published with


@dataclass(frozen=True)
class DinoV2Sizes:
    """The architecture.

    Attributes:
        width, layers, patch: of the transformer.
        side: of the square grid of its positions, in patches.
        registers: tokens between CLS and the patches (arXiv 2309.16588); 0 for none.
        hidden: width of the MLPs.
    """

    width: int
    layers: int
    patch: int
    side: int
    registers: int
    hidden: int


class DinoV2Tower(VisionTower):
    """The network, with random weights.

    Attributes:
        class_embedding: (width,).
        register_tokens: (registers, width); they have no positions.
        positional_embedding: (1 + side * side, width), CLS first.
    """

    def __init__(self, sizes: DinoV2Sizes) -> None:
        super().__init__()
        width, patch = sizes.width, sizes.patch
        config = {"width": width, "layers": sizes.layers, "mlp_ratio": sizes.hidden / width}
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.register_tokens = nn.Parameter(torch.zeros(sizes.registers, width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + sizes.side**2, width))
        self.transformer = PlainTransformer(
            config, width // HEAD_WIDTH, nn.GELU, EPSILON, scaled=True
        )
        self.ln_post = LayerNorm(width, EPSILON)
