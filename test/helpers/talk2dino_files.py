# SPDX-License-Identifier: Apache-2.0
"""A small Talk2DINO as the files of a user: its entry, DINOv2, CLIP and the projection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from seeded_weights import names_and_shapes, seeded_state, write_state

from dinoiser_ros.segmentation.networks.dinov3.rotation import default_periods

TOLERANCE = 2e-5  # of the largest value of an array
CPU = {"inference_size": 0, "device": "cpu", "precision": "float32", "engine": "torch"}
PROMPTS = ["wooden floor", "person", "traffic cone"]
_CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2,
    },
}  # fmt: skip


def near(found: np.ndarray, wanted: np.ndarray) -> None:
    """Assert that an array is the authors'."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())


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


def dinov3_state(golden: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """A DINOv3's weights as its authors name them: all seeded but for what is no weight."""
    shapes = names_and_shapes(golden)
    fixed = [name for name in shapes if name.endswith(("bias_mask", "periods"))]
    state = seeded_state({name: shapes[name] for name in shapes if name not in fixed})
    for name in fixed:
        if name.endswith("periods"):
            state[name] = default_periods(4 * shapes[name][0])
        else:  # keys have no bias
            state[name] = torch.ones(shapes[name])
            state[name].view(3, -1)[1] = 0
    return state


def write_talk2dino_on_dinov3(
    folder: Path, golden: Mapping[str, np.ndarray], of_dinov3: Mapping[str, np.ndarray]
) -> Path:
    """The files of `write_talk2dino` with a DINOv3 in the place of its DINOv2."""
    path = write_talk2dino(folder, golden)
    (folder / "dinov2.pth").unlink()
    write_state(folder / "dinov3.pth", dinov3_state(of_dinov3))
    entry = json.loads(path.read_text()) | {"weights": [{"path": "dinov3.pth"}]}
    path.write_text(json.dumps(entry))
    return path
