# SPDX-License-Identifier: Apache-2.0
"""A frozen OpenCLIP vision transformer as a dense feature extractor (MaskCLIP, arXiv 2112.01071).

The pass is made of the steps in `vit`; this file decides which parts are computed and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import ImageError, OptionError

from . import vit
from .blocks import BlockHalves, PlainBlock, SummedMaps, attend_with, projection
from .onednn_blocks import fastest_block
from .open_clip_types import (
    Layer,
    ResidualBlock,
    VisionTower,
    patch_size,
    residual_blocks,
    stream_type,
    vision_tower,
)
from .similarity import Similarity

# OpenAI's statistics, which most CLIPs were trained with (RGB in [0, 1]).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_MAX_CACHED_GRIDS = 16
_MAX_MAP_BYTES = 4 << 30  # for attention maps, of which three sets exist at a time


@dataclass(frozen=True)
class Request:
    """What a method asks of the forward pass: nothing else is computed for it, or kept.

    Attributes:
        features, intermediate, keys, attention, layers, cls_scores: as in `DenseFeatures`.
        positions: how the positional embedding is resized to the grid: "bicubic" as the authors of
            CLIP-DINOiser do it, or "bilinear" as those of CLIPer.
    """

    features: bool = True
    intermediate: bool = True
    keys: bool = False
    attention: bool = False
    layers: bool = False
    cls_scores: bool = False
    positions: str = "bicubic"


@dataclass(frozen=True)
class DenseFeatures:
    """What one forward pass gives; N = h * w. What was not asked for is None.

    Attributes:
        grid: h and w, rows and columns of the token grid.
        features: (B, d, h, w) MaskCLIP features F in CLIP's joint space, not normalised.
        intermediate: (B, T, width) output of `ln_2` in the intermediate block. T = prefix + N
            tokens, CLS first where there is one.
        keys: (B, N, width) keys of the last block's attention, heads beside each other, without
            CLS, not normalised.
        attention: (B, heads, T, T) float32: the attention maps of all blocks but the last, each
            softmaxed, summed.
        layers: L tensors (B, T, width): the output of `ln_1` in each block but the last, then
            the last block's input.
        cls_scores: (B, heads, N) float32: what CLS asks of the patches in the last block, before
            the softmax.
        prefix: tokens in front of the patches.
    """

    grid: tuple[int, int]
    features: Tensor | None = None
    intermediate: Tensor | None = None
    keys: Tensor | None = None
    attention: Tensor | None = None
    layers: tuple[Tensor, ...] | None = None
    cls_scores: Tensor | None = None
    prefix: int = 1

    @property
    def intermediate_map(self) -> Tensor:
        """(B, width, h, w): the intermediate features of the patches alone."""
        assert self.intermediate is not None, "the method did not ask for it"
        batch, _, width = self.intermediate.shape
        return self.intermediate[:, self.prefix :].transpose(1, 2).reshape(batch, width, *self.grid)


_DEFAULT = Request()


class Backbone:
    """Dense features of a frozen OpenCLIP `VisionTransformer`.

    Args:
        visual: the `visual` tower of an OpenCLIP model; its weights are read, never changed.
        intermediate_layer: index (negative counts from the end) of the block whose `ln_2` output
            feeds the heads; the authors' heads were trained on -3.
        plain: compute with PyTorch's own operators only. That is the reference, and follows
            autocast and weights that change.
        statistics: mean and standard deviation of the channels (RGB in [0, 1]) that the model was
            trained with; None for the family's own.
        similarity: how cosines become scores.
        low_attention: see `OneDnnBlock`; without effect if plain.

    Attributes:
        prefix: tokens in front of the patches: CLIP has its CLS.
        similarity: as given.
        watch: if set, called with (B, L * width): the means of the patches' features in the L
            layers of `DenseFeatures.layers`.

    Raises:
        WeightsError: the tower is not a plain vision transformer.
        OptionError: the intermediate layer does not exist or is the last block.
    """

    family = "clip"
    prefix = 1
    default_statistics: tuple[tuple[float, ...], tuple[float, ...]] = (MEAN, STD)
    _spared = 1  # blocks at the end that are not run in full

    def __init__(
        self,
        visual: nn.Module,
        intermediate_layer: int = -3,
        plain: bool = False,
        statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
        similarity: Similarity | None = None,
        low_attention: bool = False,
    ) -> None:
        self.visual = self._checked(visual)
        self.similarity = similarity or Similarity()
        self.statistics = statistics or self.default_statistics
        self.blocks = residual_blocks(self.visual.transformer)
        make: Callable[[ResidualBlock], BlockHalves]
        make = PlainBlock if plain else partial(fastest_block, low_attention=low_attention)
        self._halves = [make(block) for block in self.blocks]
        layers = len(self.blocks)
        if not -layers <= intermediate_layer < layers or intermediate_layer % layers == layers - 1:
            raise OptionError(
                f"The intermediate layer {intermediate_layer} does not exist before the last of "
                f"this model's {layers} blocks: use -{layers} to -2."
            )
        self.intermediate_layer = intermediate_layer % layers
        self.patch_size = patch_size(self.visual)
        self.width = self.visual.conv1.out_channels
        self._stream = stream_type(self.visual)
        self.dim = self._dim()
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in self.statistics)
        self._mean, self._std = mean.to(self.device), std.to(self.device)
        self.watch: Callable[[Tensor], None] | None = None
        self._positions: dict[tuple[tuple[int, int], str], Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.visual.conv1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type that the backbone computes in."""
        return self.visual.conv1.weight.dtype

    @torch.no_grad()
    def __call__(self, images: Tensor, request: Request = _DEFAULT) -> DenseFeatures:
        """Compute the dense features of a batch of images of one size.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], any H x W; padded with zeros on the right and at the
                bottom to a multiple of the patch size P.
            request: what is wanted.

        Returns:
            Features on the grid h = ceil(H / P), w = ceil(W / P), in the backbone's dtype.

        Raises:
            ImageError: attention maps are wanted, and those of such an image would not fit.
        """
        if request.attention:
            self._check_maps(images.shape)
        x, grid = self._embed(images, request.positions)
        x = x.to(self._stream)
        intermediate: Tensor | None = None
        layers: list[Tensor] = []
        summed = SummedMaps()
        normed = x
        whole = len(self.blocks) - self._spared
        for index, (block, halves) in enumerate(
            zip(self.blocks[:whole], self._halves[:whole], strict=True)
        ):
            attend = self._attention(halves, grid, request.positions)
            if request.attention:
                attend = partial(summed.attend, block.attn)
            x, normed = vit.attention_step(block, attend, x)
            if request.layers or self.watch is not None:
                layers.append(normed)
            x, read = vit.mlp_step(block, halves.mlp, x)
            if request.intermediate and index == self.intermediate_layer:
                intermediate = read
        x = x.to(self.dtype)
        if self.watch is not None:
            self.watch(
                torch.cat([tokens[:, self.prefix :].mean(dim=1) for tokens in (*layers, x)], dim=1)
            )
        return DenseFeatures(
            grid,
            features=self._features(x, grid) if request.features else None,
            intermediate=intermediate,
            keys=self._keys(x) if request.keys else None,
            attention=summed.total,
            layers=(*layers, x) if request.layers else None,
            cls_scores=self._cls_scores(normed) if request.cls_scores else None,
            prefix=self.prefix,
        )

    @torch.no_grad()
    def attend_last(self, x: Tensor, attention: Tensor) -> Tensor:
        """The last block with attention weights from elsewhere, without residual and MLP (CLIPer).

        Args:
            x: (B, T, width), what the block reads.
            attention: (B, heads, T, T), one row of weights for each output token.

        Returns:
            (B, T, d) in CLIP's joint space, not normalised.
        """
        block = self.blocks[-1]
        attended = attend_with(block.attn, block.ln_1(x), attention)
        return vit.project(self.visual, block.ls_1(attended))

    def _checked(self, visual: nn.Module) -> VisionTower:
        """The tower, which is of the kind that the class computes with."""
        return vision_tower(visual)

    def _dim(self) -> int:
        """Length of the features, and of the texts that they are compared with."""
        return self.visual.proj.shape[1]

    def _attention(self, halves: BlockHalves, grid: tuple[int, int], mode: str) -> Layer:
        """A block's attention over the tokens of a grid."""
        return halves.attention

    def _cls_scores(self, normed: Tensor) -> Tensor:
        """See `DenseFeatures`; `normed` is what the last block's attention read."""
        raise NotImplementedError("only a backbone whose blocks are all run in full has them")

    def _check_maps(self, shape: torch.Size) -> None:
        """Refuse images (B, 3, H, W) whose attention maps grow beyond all memory."""
        batch, _, height, width = shape
        tokens = self.prefix + math.ceil(height / self.patch_size) * math.ceil(
            width / self.patch_size
        )
        share = 3 * 4 * batch * self.blocks[0].attn.num_heads  # bytes for each pair of tokens
        if share * tokens**2 > _MAX_MAP_BYTES:
            fitting = (_MAX_MAP_BYTES / share) ** 0.5 * min(height, width) / max(height, width)
            raise ImageError(
                f"The attention maps of {batch} x {height}x{width} pixels take "
                f"{share * tokens**2 / 1e9:.0f} GB: set inference_size to "
                f"{int(fitting**0.5 - 1) * self.patch_size} or less, or use another method."
            )

    def _embed(self, images: Tensor, mode: str) -> tuple[Tensor, tuple[int, int]]:
        """(B, 3, H, W) in [0, 1] -> the first block's input (B, 1 + N, width), the grid (h, w)."""
        patches, grid = self._patches(images)
        positions = self._position(grid, mode)
        cls = self.visual.class_embedding.to(patches.dtype) + positions[:1]
        return vit.first_input(self.visual, cls, patches + positions[1:]), grid

    def _patches(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, 3, H, W) in [0, 1] -> the patches' tokens (B, N, width), the grid (h, w)."""
        # The padding is black in the image, so it comes before the normalisation, as the authors
        # have it.
        pixels = ((self._pad(images) - self._mean) / self._std).to(self.dtype)
        return vit.patch_tokens(self.visual, pixels)

    def _pad(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) with zeros on the right and at the bottom, up to whole patches."""
        size = self.patch_size
        return F.pad(images, (0, -images.shape[-1] % size, 0, -images.shape[-2] % size))

    def _position(self, grid: tuple[int, int], mode: str) -> Tensor:
        """(prefix + h * w, width): positions for a grid, kept for the next frame."""
        if (grid, mode) not in self._positions:
            if len(self._positions) >= _MAX_CACHED_GRIDS:
                self._positions.clear()
            positions = self._resized_positions(grid, mode)
            self._positions[grid, mode] = positions.to(self._position_dtype)
        return self._positions[grid, mode]

    @property
    def _position_dtype(self) -> torch.dtype:
        """The floating-point type that positions are kept in."""
        return self.dtype

    def resized_positions(self, grid: tuple[int, int]) -> Tensor:
        """The positional embedding for a grid of h x w patches, float32.

        (prefix + h * w, width); with rotary positions (2, prefix + h * w, c), see
        `dinov3.rotation`.
        """
        return self._resized_positions(grid, "bicubic")

    def _resized_positions(self, grid: tuple[int, int], mode: str) -> Tensor:
        """As `resized_positions`, or "bilinear"."""
        return vit.resize_positions(self.visual.positional_embedding.float(), grid, mode)

    def _features(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, d, h, w): the last block with attention reduced to its value path."""
        features = vit.dense_features(self.visual, x, self._halves[-1].mlp)
        return features.transpose(1, 2).reshape(x.shape[0], self.dim, *grid)

    def _keys(self, x: Tensor) -> Tensor:
        """(B, N, width): the keys of the patches, from the last block's input."""
        block = self.blocks[-1]
        return projection(block.attn, block.ln_1(x), 1)[:, 1:]
