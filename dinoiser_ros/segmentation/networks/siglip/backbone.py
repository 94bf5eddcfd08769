# SPDX-License-Identifier: Apache-2.0
"""Dense features of SigLIP, by MaskCLIP's argument for a head that pools with attention.

SigLIP's image embedding is E(sum_p a_p v(x_p)): a learnt query weighs the values v of the patches
with attention a, and E (output projection, then an MLP with a residual) takes the result to the
space shared with text. A patch by itself is what the head gives when all attention lies on it:
E(v(x_p)). This is MaskCLIP's step (arXiv 2112.01071, section 3.1), which it takes in the same
place, at the layer that pools with attention. In CLIP's vision transformers that layer is the last
block, and attention reaches CLS; here it is the head behind the blocks, which are all run in full.
The keys of this attention are the head's.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks import vit
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower
from dinoiser_ros.segmentation.networks.similarity import Similarity

from .towers import SiglipModel, SiglipTower

MEAN = STD = (0.5, 0.5, 0.5)


class SiglipBackbone(Backbone):
    """As `Backbone`, for a `SiglipTower`."""

    family = "siglip"
    prefix = 0
    default_statistics = (MEAN, STD)
    _spared = 0

    @property
    def _tower(self) -> SiglipTower:
        return cast("SiglipTower", self.visual)

    def _checked(self, visual: nn.Module) -> VisionTower:
        if not isinstance(visual, SiglipTower):
            raise WeightsError(f"The vision tower {type(visual).__name__} is no SigLIP's.")
        return visual

    def _dim(self) -> int:
        return self._tower.attn_pool.proj.out_features

    def _embed(self, images: Tensor, mode: str) -> tuple[Tensor, tuple[int, int]]:
        patches, grid = self._patches(images)
        return patches + self._position(grid, mode), grid

    def _resized_positions(self, grid: tuple[int, int], mode: str) -> Tensor:
        embedding = self._tower.positional_embedding[0].float()
        return vit.resize_positions(embedding, grid, mode, prefix=0)

    def _features(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        head = self._tower.attn_pool
        features = head.embed(head.values(self._tower.ln_post(x)))
        return features.transpose(1, 2).reshape(x.shape[0], self.dim, *grid)

    def _keys(self, x: Tensor) -> Tensor:
        return self._tower.attn_pool.keys(self._tower.ln_post(x))

    def attend_last(self, x: Tensor, attention: Tensor) -> Tensor:
        """The head with attention weights from elsewhere instead of its query's (CLIPer).

        Args:
            x: (B, N, width), what the head reads.
            attention: (B, heads, N, N), one row of weights for each output token.

        Returns:
            (B, N, d), not normalised.
        """
        head = self._tower.attn_pool
        values = head.values(self._tower.ln_post(x)).unflatten(-1, (head.heads, -1))
        mixed = attention.to(values.dtype) @ values.transpose(1, 2)
        return head.embed(mixed.transpose(1, 2).flatten(2))


def similarity_of(model: SiglipModel) -> Similarity:
    """The scale and bias that a SigLIP has learnt."""
    return Similarity(float(model.logit_scale.exp()), float(model.logit_bias))
