# SPDX-License-Identifier: Apache-2.0
"""A small Talk2DINO as the files of a user: its entry, DINOv2, CLIP and the projection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from seeded_weights import names_and_shapes, seeded_state, write_state

PROMPTS = ["wooden floor", "person", "traffic cone"]
_CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2,
    },
}  # fmt: skip


def clip_state(golden: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The CLIP's weights; words are few bits each, which can be drawn quickly."""
    shapes = names_and_shapes(golden, "clip_shapes")
    words = shapes.pop("token_embedding.weight")
    state = seeded_state(shapes)
    drawn = np.random.default_rng(9).integers(-64, 64, tuple(words)) / 64
    state["token_embedding.weight"] = torch.from_numpy(drawn.astype(np.float32))
    state["logit_scale"] = torch.tensor(100.0).log()
    return state


def projection_state(golden: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The projection's weights, of a gain that uses the hyperbolic tangent."""
    state = seeded_state(names_and_shapes(golden, "projection_shapes"))
    return {name: t * (3 if name.endswith("weight") else 1) for name, t in state.items()}


def write_talk2dino(folder: Path, golden: Mapping[str, np.ndarray]) -> Path:
    """All files; returns the entry, which is the `model` of a `Segmenter`."""
    write_state(folder / "dinov2.pth", seeded_state(names_and_shapes(golden)))
    write_state(folder / "clip.safetensors", clip_state(golden))
    write_state(folder / "projection.pth", projection_state(golden))
    (folder / "clip.json").write_text(json.dumps(_CLIP))
    entry = {
        "name": "small",
        "weights": [{"path": "dinov2.pth"}],
        "text": [{"path": "clip.safetensors"}],
        "text_config": "clip.json",
        "projection": [{"path": "projection.pth"}],
        "inference_size": 56,
        "methods": ["talk2dino"],
    }
    path = folder / "model.json"
    path.write_text(json.dumps(entry))
    return path
