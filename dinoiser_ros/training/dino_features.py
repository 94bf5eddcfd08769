"""What heads learn from DINO: its last attention layer, whichever network computes it.

A DINO here is any module with what `Dino` lists: an OpenCLIP tower
(`OpenClipDino`) or a network in DINO's and timm's own layout (`dino_vit.DinoViT`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.training import vit

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


class Dino(Protocol):
    """A frozen DINO; `width` is that of its keys and values."""

    patch_size: int
    width: int

    def last_layer(self, images: Tensor) -> LastLayer:
        """The last attention layer for normalised images (B, 3, H, W), sides multiples of the
        patch.
        """


class OpenClipDino(nn.Module):
    """A DINO whose network is the vision tower of an OpenCLIP config, such as the embedded one."""

    def __init__(self, vision: nn.Module) -> None:
        super().__init__()
        self.vision = vision
        self.patch_size: int = vision.conv1.kernel_size[0]
        self.width: int = vision.conv1.out_channels

    @torch.no_grad()
    def last_layer(self, images: Tensor) -> LastLayer:
        """See `Dino`."""
        grid = (images.shape[2] // self.patch_size, images.shape[3] // self.patch_size)
        x = vit.trunk(self.vision, embedded(self.vision, images))
        return split_last_layer(*vit.qkv(self.vision.transformer.resblocks[-1], x), grid)


def embedded(vision: nn.Module, images: Tensor) -> Tensor:
    """The first block's input (B, 1 + N, D) of an OpenCLIP tower for images (B, 3, H, W)."""
    patch = vision.conv1.kernel_size[0]
    positions = vit.resized_positions(vision, images.shape[2] // patch, images.shape[3] // patch)
    return vit.embed(vision, images, positions.flatten(0, 1))


def split_last_layer(q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int]) -> LastLayer:
    """The last layer from its queries, keys and values (B, heads, 1 + N, d), CLS first."""
    scores = (q[:, :, :1] * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    attention = scores.softmax(dim=-1)[:, :, 0, 1:]
    values, keys = v[:, :, 1:].transpose(1, 2).flatten(2), k[:, :, 1:].transpose(1, 2)
    return LastLayer(values, keys, attention, grid)


def normalise(rgb: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float with ImageNet's mean and standard deviation."""
    x = rgb.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


def correlations(values: Tensor) -> Tensor:
    """Cosine similarities (B, N, N) of value embeddings (B, N, D)."""
    unit = F.normalize(values, dim=-1)
    return unit @ unit.transpose(-1, -2)


def on_grid(maps: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Patch maps (B, N, C) on another grid, bilinearly, as they are where the grids agree.

    Args:
        source, target: (rows, columns) of what is given and of what is wanted.

    Returns:
        (B, rows * columns of the target, C).
    """
    if source == target:
        return maps
    x = maps.transpose(1, 2).unflatten(2, source)
    x = F.interpolate(x, size=target, mode="bilinear", align_corners=False, antialias=True)
    return x.flatten(2).transpose(1, 2)
