# SPDX-License-Identifier: Apache-2.0
"""A small SigLIP as the files of a user: config, weights in the layout of OpenCLIP, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from seeded_weights import names_and_shapes, seeded_state, write_state

WORDS = ("a", "photo", "of", "the", "wooden", "floor", "person", "wall", "chair", "traffic", "cone")


def siglip_config(tanh: bool) -> dict:
    """The config of the golden arrays."""
    towers = {
        "vision_cfg": {
            "image_size": 64, "patch_size": 16, "width": 48, "layers": 3, "head_width": 16,
            "mlp_ratio": 4.0, "timm_pool": "map", "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16, "vocab_size": 300, "width": 48, "heads": 3, "layers": 2,
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }  # fmt: skip
    if tanh:
        for tower in towers.values():
            tower["act_kwargs"] = {"approximate": "tanh"}
    return {"embed_dim": 48, "init_logit_bias": -10, "custom_text": True, **towers}


def siglip_state(golden: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The weights that the golden arrays were made with, by their official names."""
    learnt = {name: torch.from_numpy(golden[name]) for name in ("logit_scale", "logit_bias")}
    return seeded_state(names_and_shapes(golden)) | learnt


def write_tokenizer(path: Path, end: str = "</s>") -> Path:
    """A `tokenizer.json` of a few words; the end has id 1."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    entries = ["<unk>" if end == "</s>" else "<pad>", end, "<unknown>", *WORDS]
    vocabulary = {word: number for number, word in enumerate(entries)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return path


def write_siglip(
    folder: Path, golden: Mapping[str, np.ndarray], tanh: bool, suffix: str = ".safetensors"
) -> dict[str, Path]:
    """All files; as arguments of `Segmenter`."""
    (folder / "siglip.json").write_text(json.dumps(siglip_config(tanh)))
    write_tokenizer(folder / "tokenizer.json")
    weights = write_state(folder / f"siglip{suffix}", siglip_state(golden))
    return {"model": folder / "siglip.json", "weights": weights}
