"""A frozen OpenCLIP vision transformer as a dense feature extractor (MaskCLIP, arXiv 2112.01071).

The forward pass below is written over the module's *weights*, not over its `forward`: open_clip
turned its transformers from sequence-first to batch-first between 2.24 and 2.26, which silently
broke code that hooked into them. Nothing here depends on that layout, mutates the module or
registers a hook, so one backbone may serve several threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import OptionError, WeightsError

# OpenAI's statistics, which every CLIP that this project supports was trained with (RGB in [0, 1]).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)

_MAX_CACHED_GRIDS = 16


@dataclass(frozen=True)
class DenseFeatures:
    """What one forward pass gives; h x w is the token grid, N = h * w.

    Attributes:
        features: (B, d, h, w) MaskCLIP features F in CLIP's joint space, not normalised.
        intermediate: (B, 1 + N, width) output of `ln_2` in the intermediate block, CLS token first.
    """

    features: Tensor
    intermediate: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the token grid."""
        return self.features.shape[-2], self.features.shape[-1]

    @property
    def intermediate_map(self) -> Tensor:
        """(B, width, h, w): the intermediate features of the patches, without CLS."""
        batch, _, width = self.intermediate.shape
        return self.intermediate[:, 1:].transpose(1, 2).reshape(batch, width, *self.grid)


class Backbone:
    """Dense features of a frozen OpenCLIP `VisionTransformer`.

    Args:
        visual: the `visual` tower of an OpenCLIP model; its weights are read, never changed.
        intermediate_layer: index (negative counts from the end) of the block whose `ln_2` output
            feeds the heads; the authors' heads were trained on -3.

    Raises:
        WeightsError: the tower is not a plain vision transformer.
        OptionError: the intermediate layer does not exist or is the last block.
    """

    def __init__(self, visual: nn.Module, intermediate_layer: int = -3) -> None:
        check_architecture(visual)
        self.visual = visual
        self.blocks = list(visual.transformer.resblocks)
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
        self._positions: dict[tuple[int, int], Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.visual.proj.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type that the backbone computes in."""
        return self.visual.proj.dtype

    @torch.no_grad()
    def __call__(self, images: Tensor) -> DenseFeatures:
        """Compute the dense features of a batch of images of one size.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], any H x W; padded with zeros on the right and at the
                bottom to a multiple of the patch size P.

        Returns:
            Features on the grid h = ceil(H / P), w = ceil(W / P), in the backbone's dtype.
        """
        x, grid = self._embed(images)
        for index, block in enumerate(self.blocks[:-1]):
            x = x + block.ls_1(_attention(block.attn, block.ln_1(x)))
            y = block.ln_2(x)
            if index == self.intermediate_layer:
                intermediate = y
            x = x + block.ls_2(block.mlp(y))
        features = self._project(self._value_path(self.blocks[-1], x))
        features = features[:, 1:].transpose(1, 2).reshape(len(x), self.dim, *grid)
        return DenseFeatures(features, intermediate)

    def _embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
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
        return self.visual.ln_pre(x + self._position(grid)), grid

    def _position(self, grid: tuple[int, int]) -> Tensor:
        """(1 + N, width): positional embedding resized to a grid, kept for the next frame."""
        if grid not in self._positions:
            if len(self._positions) >= _MAX_CACHED_GRIDS:
                self._positions.clear()
            resized = resize_positions(self.visual.positional_embedding.float(), grid)
            self._positions[grid] = resized.to(self.dtype)
        return self._positions[grid]

    @staticmethod
    def _value_path(block: nn.Module, x: Tensor) -> Tensor:
        """The last block with attention reduced to its value path (MaskCLIP, section 3.1)."""
        attn = block.attn
        rows = slice(2 * attn.embed_dim, None)  # in_proj stacks query, key and value
        bias = None if attn.in_proj_bias is None else attn.in_proj_bias[rows]
        values = F.linear(block.ln_1(x), attn.in_proj_weight[rows], bias)
        x = x + block.ls_1(attn.out_proj(values))
        return x + block.ls_2(block.mlp(block.ln_2(x)))

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


def resize_positions(embedding: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize a positional embedding to another token grid.

    Args:
        embedding: (1 + n * n, width), CLS first, for the square grid the model was trained with.
        grid: rows and columns wanted.

    Returns:
        (1 + h * w, width): CLS part kept, patch part resized bicubically (align_corners=False).
    """
    side = round((len(embedding) - 1) ** 0.5)
    if (side, side) == tuple(grid):
        return embedding
    cls, patches = embedding[:1], embedding[1:]
    square = patches.T.reshape(1, -1, side, side)
    resized = F.interpolate(square, size=tuple(grid), mode="bicubic", align_corners=False)
    return torch.cat([cls, resized[0].flatten(1).T])


def _attention(attn: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """Multi-head self-attention, (B, T, width) -> (B, T, width), over `attn`'s weights."""
    batch, tokens, width = x.shape
    qkv = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = qkv.view(batch, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v)
    return attn.out_proj(out.transpose(1, 2).reshape(batch, tokens, width))
