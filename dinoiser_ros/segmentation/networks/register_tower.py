# SPDX-License-Identifier: Apache-2.0
"""A vision transformer with register tokens: what the towers of DINOv2 and DINOv3 share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .dino_weights import HEAD_WIDTH
from .open_clip_types import VisionTower
from .plain_clip import LayerNorm, PlainTransformer


@dataclass(frozen=True)
class RegisterSizes:
    """The architecture.

    Attributes:
        width, layers, patch: of the transformer.
        registers: tokens between CLS and the patches (arXiv 2309.16588), which DINOv3's authors
            call storage tokens; 0 for none.
        hidden: width of the MLPs.
    """

    width: int
    layers: int
    patch: int
    registers: int
    hidden: int


class RegisterTower(VisionTower):
    """All of the network but what says where patches are; with random weights.

    Args:
        sizes: the architecture.
        epsilon: of all layer norms.

    Attributes:
        class_embedding: (width,).
        register_tokens: (registers, width); they have no positions.
    """

    def __init__(self, sizes: RegisterSizes, epsilon: float) -> None:
        super().__init__()
        width, patch = sizes.width, sizes.patch
        config = {"width": width, "layers": sizes.layers, "mlp_ratio": sizes.hidden / width}
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.register_tokens = nn.Parameter(torch.zeros(sizes.registers, width))
        self.transformer = PlainTransformer(
            config, width // HEAD_WIDTH, nn.GELU, epsilon, scaled=True
        )
        self.ln_post = LayerNorm(width, epsilon)
