# SPDX-License-Identifier: Apache-2.0
"""The dense feature extractor that belongs to a model."""

from __future__ import annotations

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dinov2.backbone import DinoV2Backbone
from dinoiser_ros.segmentation.networks.dinov2.tower import DinoV2Tower
from dinoiser_ros.segmentation.networks.dinov3.backbone import DinoV3Backbone
from dinoiser_ros.segmentation.networks.dinov3.tower import DinoV3Tower
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel
from dinoiser_ros.segmentation.networks.siglip.backbone import SiglipBackbone, similarity_of
from dinoiser_ros.segmentation.networks.siglip.towers import SiglipModel
from dinoiser_ros.segmentation.networks.similarity import Similarity

from .specs import Statistics


def backbone_of(
    clip: ClipModel,
    layer: int,
    plain: bool = False,
    statistics: Statistics | None = None,
    low_attention: bool = False,
) -> Backbone:
    """The backbone of a model, which computes with its vision tower.

    Args:
        clip: the model, on its device, in evaluation mode.
        layer, plain, statistics, low_attention: see `Backbone`.

    Raises:
        WeightsError, OptionError: see `Backbone`.
    """
    kind: type[Backbone] = Backbone
    similarity: Similarity | None = None
    if isinstance(clip, SiglipModel):
        kind, similarity = SiglipBackbone, similarity_of(clip)
    elif isinstance(clip.visual, DinoV3Tower):
        kind, similarity = DinoV3Backbone, Similarity(1.0, 0.0)
    elif isinstance(clip.visual, DinoV2Tower):
        kind, similarity = DinoV2Backbone, Similarity(1.0, 0.0)
    return kind(clip.visual, layer, plain, statistics, similarity, low_attention)
