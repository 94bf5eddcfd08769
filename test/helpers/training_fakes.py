# SPDX-License-Identifier: Apache-2.0
"""Tiny stand-ins for rendered frames and models, so that training tests need no renderer and no
time.
"""

from __future__ import annotations

import numpy as np
import torch

from dinoiser_ros.sim.classes import CLASS_IDS, COLOUR_NAMES
from dinoiser_ros.training.demo.frame_store import MAX_THINGS, NO_COLOUR, FrameStore

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 48,
        "layers": 4,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "pool_type": "avg",
        "pos_embed_type": "sin_cos_2d",
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}
TINY_DINO = {
    "embed_dim": 8,
    "vision_cfg": {
        "image_size": 48,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "pos_embed_type": "sin_cos_2d",
    },
    "text_cfg": {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1},
}


def fake_store(frames: int = 6, height: int = 96, width: int = 128, seed: int = 0) -> FrameStore:
    """Frames of sky over grass with one red ball-like square each; instances 0, 1 and 2."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(90, 110, (frames, height, width, 3)).astype(np.uint8)
    instances = np.zeros((frames, height, width), np.uint8)
    instances[:, height // 2 :] = 1
    for index in range(frames):
        y, x = rng.integers(height // 2, height - 32), rng.integers(0, width - 32)
        instances[index, y : y + 32, x : x + 32] = 2
    rgb[instances == 0, 2] = 220
    rgb[instances == 1, 1] = 180
    rgb[instances == 2, 0] = 240
    classes = np.full((frames, MAX_THINGS), 255, np.uint8)
    classes[:, :3] = [CLASS_IDS["sky"], CLASS_IDS["grass"], CLASS_IDS["ball"]]
    colours = np.full((frames, MAX_THINGS), NO_COLOUR, np.uint8)
    colours[:, 2] = COLOUR_NAMES.index("red")
    return FrameStore(rgb, instances, classes, colours)


def official_dino_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """A tiny DINO as its checkpoints name it: width 128, 2 heads, 2 blocks, 4 x 4 patches of 8."""
    generator, width, hidden = torch.Generator().manual_seed(seed), 128, 256
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 17, width),
        "patch_embed.proj.weight": (width, 3, 8, 8),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for block in ("blocks.0.", "blocks.1."):
        for name, (rows, columns) in {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (hidden, width),
            "mlp.fc2": (width, hidden),
        }.items():
            shapes |= {f"{block}{name}.weight": (rows, columns), f"{block}{name}.bias": (rows,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"{block}{name}.weight": (width,), f"{block}{name}.bias": (width,)}
    return {
        name: torch.randn(shape, generator=generator) / max(1.0, shape[-1] ** 0.5)
        for name, shape in shapes.items()
    }
