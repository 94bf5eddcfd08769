# SPDX-License-Identifier: Apache-2.0
"""Everything that a method may use for one batch of images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from dinoiser_ros.option_schema import FrameOptions
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, DenseFeatures
from dinoiser_ros.segmentation.networks.diffusion.stable_diffusion import Diffusion
from dinoiser_ros.segmentation.networks.dino import DinoTower, LastLayer
from dinoiser_ros.segmentation.networks.dinoiser_heads import DELTA, GAMMA, DinoiserHeads
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.networks.similarity import Similarity

TALK2DINO = ("dinov2", "dinov3")  # families of backbones that it has


@dataclass(frozen=True)
class MethodOptions(FrameOptions):
    """The options with every value as it is to be used; where no heads say more, the paper's.

    Attributes:
        gamma: pooling threshold in [0, 1].
        delta: certainty threshold of the background filter in [0, 1].
    """

    gamma: float = GAMMA
    delta: float = DELTA

    @property
    def filter_background(self) -> bool:
        """Whether a background class, if there is one, gets the filter."""
        return self.background_filter != "off"


@dataclass(frozen=True)
class Parts:
    """A segmenter's frozen networks. Those that its method can do without may be None."""

    backbone: Backbone | None
    heads: DinoiserHeads | None = None
    dino: DinoTower | None = None
    diffusion: Diffusion | None = None
    network: EmbeddingNetwork | None = None

    @property
    def clip(self) -> Backbone | None:
        """The backbone, if it shares a space with its own text tower."""
        return None if self.talk2dino else self.backbone

    @property
    def talk2dino(self) -> Backbone | None:
        """The backbone, if it is a DINOv2 or DINOv3 with CLIP's texts mapped into its space."""
        return self.backbone if self.backbone and self.backbone.family in TALK2DINO else None

    @property
    def clip_backbone(self) -> Backbone:
        """The backbone, for methods that ask for it: `Segmenter` sees to it that it is there."""
        assert self.backbone is not None, "the model is a checkpoint of maskclip+"
        return self.backbone

    @property
    def main(self) -> Backbone | EmbeddingNetwork:
        """What every image goes through."""
        main = self.network or self.backbone
        assert main is not None, "a segmenter has one of the two"
        return main


class ClassTexts(Protocol):
    """What methods ask of a vocabulary: P embedded phrases of K classes."""

    @property
    def embeddings(self) -> Tensor:
        """(P, d) float32 unit vectors."""

    @property
    def phrase_class(self) -> Tensor:
        """(P,) int64: the class that each phrase belongs to."""

    @property
    def background(self) -> int | Tensor | None:
        """The class for what looks like no object, see `assign_background`; None: there is none."""

    def best_of_phrases(self, scores: Tensor, /) -> Tensor:
        """(B, P, h, w) -> (B, K, h, w): the score of a class is the best of its phrases."""


@dataclass(frozen=True)
class MethodInputs:
    """One batch on its way through a method; used by one thread.

    Attributes:
        images: (B, 3, H, W) RGB in [0, 1], as the backbone got them.
        dense: what the method asked the backbone for; None if it asked for nothing.
        parts: the networks; `Segmenter` sees to it that those the method needs are there.
        vocabulary: what to look for.
        options: thresholds and choices.
    """

    images: Tensor
    dense: DenseFeatures | None
    parts: Parts
    vocabulary: ClassTexts
    options: MethodOptions

    @cached_property
    def dino(self) -> LastLayer:
        """DINO's last attention layer on these images: computed at the first use, then kept."""
        assert self.parts.dino is not None, "Segmenter gives the method its DINO"
        return self.parts.dino(self.images)

    @property
    def from_backbone(self) -> DenseFeatures:
        """What the backbone gave."""
        assert self.dense is not None, "the method asked for nothing"
        return self.dense

    @property
    def features(self) -> Tensor:
        """(B, d, h, w) MaskCLIP features, not normalised."""
        assert self.from_backbone.features is not None, "the method did not ask for them"
        return self.from_backbone.features

    @property
    def keys(self) -> Tensor:
        """(B, N, width) keys of the last block."""
        assert self.from_backbone.keys is not None, "the method did not ask for them"
        return self.from_backbone.keys

    @property
    def intermediate_map(self) -> Tensor:
        """(B, width, h, w): what the heads read."""
        return self.from_backbone.intermediate_map

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.from_backbone.grid

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.parts.clip_backbone

    @property
    def similarity(self) -> Similarity:
        """How the model's cosines become scores."""
        return self.parts.clip_backbone.similarity

    @property
    def heads(self) -> DinoiserHeads:
        """CLIP-DINOiser's heads."""
        assert self.parts.heads is not None, "Segmenter gives the method its heads"
        return self.parts.heads
