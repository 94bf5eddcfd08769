# SPDX-License-Identifier: Apache-2.0
"""DINO's vision tower (arXiv 2104.14294) and what its last attention layer says about an image.

Every tower is an OpenCLIP `VisionTransformer` here, whatever file its weights come from: see
`dino_weights`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import vit
from .blocks import PlainBlock, queries_keys_values
from .open_clip_types import VisionTower, patch_size, residual_blocks, vision_tower

# DINO is trained and used with ImageNet's mean and standard deviation.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OWN_EXTRA = 0.1  # of DINO's own code, see `DinoTower`


class LastLayer(NamedTuple):
    """What DINO's last attention layer holds for N = rows * columns patches, CLS left out.

    Attributes:
        values: (B, N, D), heads concatenated.
        keys: (B, N, heads, d).
        cls_attention: (B, heads, N), softmax over patches and CLS, CLS's own entry left out.
        grid: (rows, columns).
    """

    values: Tensor
    keys: Tensor
    cls_attention: Tensor
    grid: tuple[int, int]


class DinoTower:
    """A frozen DINO: for the pooling beside the backbone, and as the teacher of the heads.

    Away from the grid that a DINO was trained on, its positional embedding is resized as it was in
    its training. DINO's own code asks the bicubic interpolation for a scale that is 0.1 patches too
    large, and that scale, not the size, decides where is sampled. Networks from DINO's own files
    (`from_dino`) keep this. The embedded demo DINO is an OpenCLIP tower that this project trained
    with exact resizing, and stays exact.

    Args:
        visual: an OpenCLIP vision tower with DINO's weights, which are read, never changed.
        extra: patches by which the scale is too large, see above: `OWN_EXTRA` or 0.
        fused: use PyTorch's fused attention, which needs less memory for batches.

    Attributes:
        patch_size: pixels of a patch's side.
        width: of the values, and of the keys of all heads.
    """

    def __init__(self, visual: nn.Module, extra: float = 0.0, fused: bool = False) -> None:
        self.visual = vision_tower(visual)
        self.extra, self.fused = extra, fused
        self.patch_size = patch_size(self.visual)
        self.width = self.visual.conv1.out_channels
        # On the device from the start: what comes from the host amid a frame makes it wait.
        statistics = torch.tensor([MEAN, STD], device=self.visual.conv1.weight.device)
        self._mean, self._std = statistics[:, None, :, None, None]

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> DinoTower:
        """The tower on a device, computing in a floating-point type; moves its weights."""
        visual = self.visual.to(device=device, dtype=dtype)
        return DinoTower(visual, self.extra, self.fused)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> LastLayer:
        """The last attention layer of a batch of images.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], padded as the backbone pads them.

        Returns:
            Values, keys and CLS attention in float32, N = ceil(H / P) * ceil(W / P).
        """
        size = self.patch_size
        images = F.pad(images, (0, -images.shape[-1] % size, 0, -images.shape[-2] % size))
        pixels = ((images - self._mean) / self._std).to(self.visual.conv1.weight.dtype)
        *first, last = residual_blocks(self.visual.transformer)
        x = embedded(self.visual, pixels, self.extra)
        for block in first:
            x = vit.run_block(block, x, PlainBlock(block) if self.fused else None)
        grid = (images.shape[-2] // size, images.shape[-1] // size)
        return split_last_layer(*queries_keys_values(last.attn, last.ln_1(x)), grid)


def embedded(tower: VisionTower, pixels: Tensor, extra: float = 0.0) -> Tensor:
    """The first block's input (B, 1 + N, width), differentiable.

    Args:
        pixels: (B, 3, H, W), normalised; H and W are multiples of the patch size.
        extra: see `DinoTower`.
    """
    side = patch_size(tower)
    grid = (pixels.shape[2] // side, pixels.shape[3] // side)
    # Resized in float32, whatever the tower computes in.
    positions = vit.resize_positions(tower.positional_embedding.float(), grid, extra=extra)
    return vit.embed(tower, pixels, positions[1:])


def split_last_layer(q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int]) -> LastLayer:
    """The last layer from its queries, keys and values (B, heads, 1 + N, d), CLS first."""
    scores = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    attention = scores.softmax(dim=-1)[:, :, 0, 1:]
    values, keys = v[:, :, 1:].transpose(1, 2).flatten(2), k[:, :, 1:].transpose(1, 2)
    return LastLayer(values.float(), keys.float(), attention.float(), grid)
