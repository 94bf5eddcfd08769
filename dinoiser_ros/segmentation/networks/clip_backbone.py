# SPDX-License-Identifier: Apache-2.0
"""A frozen OpenCLIP vision transformer as a dense feature extractor (MaskCLIP, arXiv 2112.01071).

The forward pass below is written over the module's *weights*, not over its `forward`: open_clip
turned its transformers from sequence-first to batch-first between 2.24 and 2.26, which silently
broke code that hooked into them. Nothing here depends on that layout, mutates the module or
registers a hook, so one backbone may serve several threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import ImageError, OptionError, WeightsError

from .blocks import PlainBlock
from .onednn_blocks import fastest_block

# OpenAI's statistics, which every CLIP that this project supports was trained with (RGB in [0, 1]).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_MAX_CACHED_GRIDS = 16
_MAX_MAP_BYTES = 4 << 30  # for attention maps, of which three sets exist at a time


@dataclass(frozen=True)
class Request:
    """What a method asks of the forward pass: nothing else is computed for it, or kept.

    Attributes:
        features, intermediate, keys, attention, layers: as in `DenseFeatures`.
        positions: how the positional embedding is resized to the grid: "bicubic" as the authors of
            CLIP-DINOiser do it, or "bilinear" as those of CLIPer.
    """

    features: bool = True
    intermediate: bool = True
    keys: bool = False
    attention: bool = False
    layers: bool = False
    positions: str = "bicubic"


@dataclass(frozen=True)
class DenseFeatures:
    """What one forward pass gives; N = h * w. What was not asked for is None.

    Attributes:
        grid: h and w, rows and columns of the token grid.
        features: (B, d, h, w) MaskCLIP features F in CLIP's joint space, not normalised.
        intermediate: (B, 1 + N, width) output of `ln_2` in the intermediate block, CLS token first.
        keys: (B, N, width) keys of the last block's attention, heads beside each other, without
            CLS, not normalised.
        attention: (B, heads, 1 + N, 1 + N) float32: the attention maps of all blocks but the last,
            each softmaxed, summed.
        layers: L tensors (B, 1 + N, width): the output of `ln_1` in each block but the last, then
            the last block's input.
    """

    grid: tuple[int, int]
    features: Tensor | None = None
    intermediate: Tensor | None = None
    keys: Tensor | None = None
    attention: Tensor | None = None
    layers: tuple[Tensor, ...] | None = None

    @property
    def intermediate_map(self) -> Tensor:
        """(B, width, h, w): the intermediate features of the patches, without CLS."""
        assert self.intermediate is not None, "the method did not ask for it"
        batch, _, width = self.intermediate.shape
        return self.intermediate[:, 1:].transpose(1, 2).reshape(batch, width, *self.grid)


_DEFAULT = Request()


class Backbone:
    """Dense features of a frozen OpenCLIP `VisionTransformer`.

    Args:
        visual: the `visual` tower of an OpenCLIP model; its weights are read, never changed.
        intermediate_layer: index (negative counts from the end) of the block whose `ln_2` output
            feeds the heads; the authors' heads were trained on -3.
        plain: compute with PyTorch's own operators only. That is the reference, and follows
            autocast and weights that change.

    Raises:
        WeightsError: the tower is not a plain vision transformer.
        OptionError: the intermediate layer does not exist or is the last block.
    """

    def __init__(
        self, visual: nn.Module, intermediate_layer: int = -3, plain: bool = False
    ) -> None:
        check_architecture(visual)
        self.visual = visual
        self.blocks = list(visual.transformer.resblocks)
        self._halves = [(PlainBlock if plain else fastest_block)(block) for block in self.blocks]
        layers = len(self.blocks)
        if not -layers <= intermediate_layer < layers or intermediate_layer % layers == layers - 1:
            raise OptionError(
                f"The intermediate layer {intermediate_layer} does not exist before the last of "
                f"this model's {layers} blocks: use -{layers} to -2."
            )
        self.intermediate_layer = intermediate_layer % layers
        self.patch_size: int = visual.conv1.kernel_size[0]
        self.width: int = visual.conv1.out_channels
        self.dim: int = visual.proj.shape[1]
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
        self._mean, self._std = mean.to(visual.proj.device), std.to(visual.proj.device)
        self._positions: dict[tuple[tuple[int, int], str], Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.visual.proj.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type that the backbone computes in."""
        return self.visual.proj.dtype

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
        intermediate, attention, layers = None, None, []
        for index, (block, halves) in enumerate(
            zip(self.blocks[:-1], self._halves[:-1], strict=True)
        ):
            y = block.ln_1(x)
            if request.layers:
                layers.append(y)
            if request.attention:
                maps = _attention_maps(block.attn, y)
                attention = maps if attention is None else attention + maps
                x = x + block.ls_1(_attend(block.attn, y, maps))
            else:
                x = x + block.ls_1(halves.attention(y))
            y = block.ln_2(x)
            if request.intermediate and index == self.intermediate_layer:
                intermediate = y
            x = x + block.ls_2(halves.mlp(y))
        return DenseFeatures(
            grid,
            features=self._features(x, grid) if request.features else None,
            intermediate=intermediate,
            keys=self._last_projection(x, 1)[:, 1:] if request.keys else None,
            attention=attention,
            layers=(*layers, x) if request.layers else None,
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
        return self._project(block.ls_1(_attend(block.attn, block.ln_1(x), attention)))

    def _check_maps(self, shape: torch.Size) -> None:
        """Refuse images (B, 3, H, W) whose attention maps grow beyond all memory."""
        batch, _, height, width = shape
        tokens = 1 + math.ceil(height / self.patch_size) * math.ceil(width / self.patch_size)
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
        size = self.patch_size
        # The padding is black in the image, so it comes before the normalisation, as the authors
        # have it.
        images = F.pad(images, (0, -images.shape[-1] % size, 0, -images.shape[-2] % size))
        pixels = ((images - self._mean) / self._std).to(self.dtype)
        x = self.visual.conv1(pixels)
        grid = (x.shape[-2], x.shape[-1])
        cls = self.visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([cls, x.flatten(2).transpose(1, 2)], dim=1)
        return self.visual.ln_pre(x + self._position(grid, mode)), grid

    def _position(self, grid: tuple[int, int], mode: str) -> Tensor:
        """(1 + h * w, width): positional embedding resized to a grid, kept for the next frame."""
        if (grid, mode) not in self._positions:
            if len(self._positions) >= _MAX_CACHED_GRIDS:
                self._positions.clear()
            resized = resize_positions(self.visual.positional_embedding.float(), grid, mode)
            self._positions[grid, mode] = resized.to(self.dtype)
        return self._positions[grid, mode]

    def _features(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, d, h, w): the last block with attention reduced to its value path (MaskCLIP, section
        3.1).
        """
        block = self.blocks[-1]
        x = x + block.ls_1(block.attn.out_proj(self._last_projection(x, 2)))
        x = x + block.ls_2(self._halves[-1].mlp(block.ln_2(x)))
        features = self._project(x)[:, 1:]
        return features.transpose(1, 2).reshape(len(x), self.dim, *grid)

    def _last_projection(self, x: Tensor, index: int) -> Tensor:
        """(B, T, width): queries (0), keys (1) or values (2) of the last block's input."""
        block = self.blocks[-1]
        return projection(block.attn, block.ln_1(x), index)

    def _project(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, d): final norm and projection into the space shared with text."""
        return self.visual.ln_post(x) @ self.visual.proj


def check_architecture(visual: nn.Module) -> None:
    """Refuse vision towers whose forward pass is not the one written here.

    Raises:
        WeightsError: naming what is different.
    """
    advice = "use a plain OpenCLIP ViT such as ViT-B-16"
    if not all(hasattr(visual, name) for name in ("conv1", "transformer", "ln_post", "proj")):
        raise WeightsError(f"The vision tower {type(visual).__name__} is not supported: {advice}.")
    if visual.proj is None or getattr(visual, "attn_pool", None) is not None:
        raise WeightsError(f"Vision towers with attentional pooling are not supported: {advice}.")
    for block in visual.transformer.resblocks:
        if not isinstance(getattr(block, "attn", None), nn.MultiheadAttention):
            raise WeightsError(f"Custom attention blocks are not supported: {advice}.")


def resize_positions(embedding: Tensor, grid: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resize a positional embedding to another token grid.

    Args:
        embedding: (1 + n * n, width), CLS first, for the square grid the model was trained with.
        grid: rows and columns wanted.
        mode: "bicubic" or "bilinear".

    Returns:
        (1 + h * w, width): CLS part kept, patch part resized (align_corners=False).
    """
    side = round((len(embedding) - 1) ** 0.5)
    if (side, side) == tuple(grid):
        return embedding
    cls, patches = embedding[:1], embedding[1:]
    square = patches.T.reshape(1, -1, side, side)
    resized = F.interpolate(square, size=tuple(grid), mode=mode, align_corners=False)
    return torch.cat([cls, resized[0].flatten(1).T])


def _attention_maps(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(B, heads, T, T) float32: what attention weighs the values with; rows sum to 1."""
    q, k = (_heads(attn, projection(attn, x, index)).float() for index in (0, 1))
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(dim=-1)


def _attend(attn: nn.MultiheadAttention, x: Tensor, maps: Tensor) -> Tensor:
    """Attention with given weights (B, heads, T, T): (B, T, width) -> (B, T, width)."""
    values = _heads(attn, projection(attn, x, 2))
    mixed = maps.to(values.dtype) @ values
    return attn.out_proj(mixed.transpose(1, 2).flatten(2))


def projection(attn: nn.MultiheadAttention, x: Tensor, index: int) -> Tensor:
    """Queries (0), keys (1) or values (2), which `in_proj` stacks: (B, T, width)."""
    rows = slice(index * attn.embed_dim, (index + 1) * attn.embed_dim)
    bias = None if attn.in_proj_bias is None else attn.in_proj_bias[rows]
    return F.linear(x, attn.in_proj_weight[rows], bias)


def _heads(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """(B, T, width) -> (B, heads, T, width / heads)."""
    return x.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
