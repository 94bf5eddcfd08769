# SPDX-License-Identifier: Apache-2.0
"""A small DINO as timm stores it, with random weights, for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

WIDTH, HEADS = 128, 2


def tiny_dino(patch_size: int = 16, seed: int = 0) -> VisionTransformer:
    """timm's network, for images of 4 x 4 patches; open_clip brings timm."""
    torch.manual_seed(seed)
    model = VisionTransformer(
        img_size=4 * patch_size, patch_size=patch_size, embed_dim=WIDTH, depth=3, num_heads=HEADS,
        num_classes=0,
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        # timm's start is so near to the identity that little would be tested.
        scale = 0.1 if "weight" in name and parameter.dim() > 1 else 0.3
        torch.nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=scale)
    return model.eval().requires_grad_(False)


def write_dino(path: Path, patch_size: int = 16, seed: int = 0) -> Path:
    """Its weights in a safetensors file."""
    save_file(
        {k: v.contiguous() for k, v in tiny_dino(patch_size, seed).state_dict().items()}, path
    )
    return path
