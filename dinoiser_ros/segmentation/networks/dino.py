# SPDX-License-Identifier: Apache-2.0
"""DINO's vision tower (arXiv 2104.14294) and what its last attention layer knows of an image.

Every tower is an OpenCLIP `VisionTransformer` here, whatever file its weights come from: see
`dino_weights`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import vit
from .blocks import queries_keys_values
from .layout import patch_size, residual_blocks, vision_tower

# DINO is trained and used with ImageNet's mean and standard deviation.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
    """A frozen DINO beside the backbone, on the same grid of patches.

    Args:
        visual: an OpenCLIP vision tower with DINO's weights, which are read, never changed.
    """

    def __init__(self, visual: nn.Module) -> None:
        self.visual = visual
        self.patch_size: int = visual.conv1.kernel_size[0]
        # On the device from the start: what comes from the host amid a frame makes it wait.
        statistics = torch.tensor([MEAN, STD], device=visual.conv1.weight.device)
        self._mean, self._std = statistics[:, None, :, None, None]

    def to(self, device: torch.device, dtype: torch.dtype) -> DinoTower:
        """The tower on a device, computing in a floating-point type; moves its weights."""
        return DinoTower(self.visual.to(device=device, dtype=dtype))

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
        values, keys, attention, grid = last_layer(self.visual, pixels)
        return LastLayer(values.float(), keys.float(), attention.float(), grid)


def embedded(vision: nn.Module, images: Tensor) -> Tensor:
    """The first block's input (B, 1 + N, D) of normalised images, sides multiples of the patch."""
    tower = vision_tower(vision)
    side = patch_size(tower)
    grid = (images.shape[2] // side, images.shape[3] // side)
    positions = vit.resize_positions(tower.positional_embedding.float(), grid)
    return vit.embed(tower, images, positions[1:])


@torch.no_grad()
def last_layer(vision: nn.Module, images: Tensor) -> LastLayer:
    """The last attention layer of a tower for normalised images, sides multiples of the patch."""
    tower = vision_tower(vision)
    side = patch_size(tower)
    grid = (images.shape[2] // side, images.shape[3] // side)
    *first, last = residual_blocks(tower.transformer)
    x = vit.run_blocks(first, embedded(vision, images))
    return split_last_layer(*queries_keys_values(last.attn, last.ln_1(x)), grid)


def split_last_layer(q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int]) -> LastLayer:
    """The last layer from its queries, keys and values (B, heads, 1 + N, d), CLS first."""
    scores = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    attention = scores.softmax(dim=-1)[:, :, 0, 1:]
    values, keys = v[:, :, 1:].transpose(1, 2).flatten(2), k[:, :, 1:].transpose(1, 2)
    return LastLayer(values, keys, attention, grid)
