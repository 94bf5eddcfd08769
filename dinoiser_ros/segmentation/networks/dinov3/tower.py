# SPDX-License-Identifier: Apache-2.0
"""DINOv3's vision transformer, with the names of weights that OpenCLIP has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower
from dinoiser_ros.segmentation.networks.plain_clip import LayerNorm, PlainTransformer

from .rotation import default_periods

EPSILON = 1e-5  # of all layer norms
HEAD_WIDTH = 64  # of every ViT that DINOv3 was published with


@dataclass(frozen=True)
class DinoV3Sizes:
    """The architecture.

    Attributes:
        width, layers, patch: of the transformer.
        registers: tokens between CLS and the patches; the authors call them storage tokens.
        hidden: width of the MLPs.
    """

    width: int
    layers: int
    patch: int
    registers: int
    hidden: int


class DinoV3Tower(VisionTower):
    """The network, with random weights.

    Attributes:
        class_embedding: (width,).
        register_tokens: (registers, width).
        periods: (head width / 4,) float32, see `rotation`.
    """

    periods: Tensor

    def __init__(self, sizes: DinoV3Sizes) -> None:
        super().__init__()
        width, patch = sizes.width, sizes.patch
        config = {"width": width, "layers": sizes.layers, "mlp_ratio": sizes.hidden / width}
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.register_tokens = nn.Parameter(torch.zeros(sizes.registers, width))
        self.transformer = PlainTransformer(
            config, width // HEAD_WIDTH, nn.GELU, EPSILON, scaled=True
        )
        self.ln_post = LayerNorm(width, EPSILON)
        self.register_buffer("periods", default_periods(HEAD_WIDTH))
