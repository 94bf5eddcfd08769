# SPDX-License-Identifier: Apache-2.0
"""Backbones in a form that PyTorch's tracing exporter can write down, for any size of image."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.blocks import WrittenOutBlock
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dinov2.backbone import DinoV2Backbone
from dinoiser_ros.segmentation.networks.dinov3.backbone import DinoV3Backbone
from dinoiser_ros.segmentation.networks.siglip.backbone import SiglipBackbone


class TraceableBackbone(Backbone):
    """A backbone with every size read from the images, and nothing kept from one call to the next.

    Args:
        backbone: in float32, whose weights it shares.

    Attributes:
        positions: see `Backbone.resized_positions`; used instead of what the grid gives.
            None: that is computed in the graph.
    """

    positions: Tensor | None = None

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(
            backbone.visual, backbone.intermediate_layer, plain=True,
            statistics=backbone.statistics, similarity=backbone.similarity,
        )  # fmt: skip
        self._halves = [WrittenOutBlock(block) for block in self.blocks]

    def _pad(self, images: Tensor) -> Tensor:
        # The same for every size: the convolution ignores what is more than whole patches.
        more = self.patch_size - 1
        return F.pad(images, (0, more, 0, more))

    def _position(self, grid: tuple[int, int], mode: str) -> Tensor:
        return self._resized_positions(grid, mode) if self.positions is None else self.positions


class TraceableClip(TraceableBackbone):
    """A CLIP, see `TraceableBackbone`."""


class TraceableSiglip(TraceableBackbone, SiglipBackbone):
    """A SigLIP, see `TraceableBackbone`."""


class TraceableDinoV2(TraceableBackbone, DinoV2Backbone):
    """A DINOv2, see `TraceableBackbone`."""


class TraceableDinoV3(TraceableBackbone, DinoV3Backbone):
    """A DINOv3, see `TraceableBackbone`."""


_TRACEABLE: dict[str, type[TraceableBackbone]] = {
    "clip": TraceableClip,
    "siglip": TraceableSiglip,
    "dinov2": TraceableDinoV2,
    "dinov3": TraceableDinoV3,
}


def traceable(backbone: Backbone) -> TraceableBackbone:
    """The same backbone in a form that can be traced."""
    return _TRACEABLE[backbone.family](backbone)
