# SPDX-License-Identifier: Apache-2.0
"""DINO's own weights, as timm and the authors (arXiv 2104.14294) store them, in OpenCLIP's form."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.checkpoint import State

_HEAD_WIDTH = 64  # of every ViT that DINO was published with
_EPSILON = 1e-6  # of its layer norms
# The text tower that an OpenCLIP config has to have; it is built and dropped.
_NO_TEXT = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}

# What a block's tensors are called: DINO's name -> OpenCLIP's.
_IN_BLOCK = {
    "norm1.weight": "ln_1.weight",
    "norm1.bias": "ln_1.bias",
    "attn.qkv.weight": "attn.in_proj_weight",
    "attn.qkv.bias": "attn.in_proj_bias",
    "attn.proj.weight": "attn.out_proj.weight",
    "attn.proj.bias": "attn.out_proj.bias",
    "norm2.weight": "ln_2.weight",
    "norm2.bias": "ln_2.bias",
    "mlp.fc1.weight": "mlp.c_fc.weight",
    "mlp.fc1.bias": "mlp.c_fc.bias",
    "mlp.fc2.weight": "mlp.c_proj.weight",
    "mlp.fc2.bias": "mlp.c_proj.bias",
}
_TOP = {
    "patch_embed.proj.weight": "conv1.weight",
    "norm.weight": "ln_post.weight",
    "norm.bias": "ln_post.bias",
}
_FIRST = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")


def is_dinos_own(state: State) -> bool:
    """Whether tensors are named as timm and DINO's authors name them, rather than OpenCLIP."""
    return "pos_embed" in state


def from_dino(state: State, source: str) -> tuple[dict, State]:
    """An OpenCLIP config and vision tower's state that compute what a DINO ViT computes.

    OpenCLIP's patch embedding has no bias; DINO's is added to every patch's position instead, which
    resizing to another grid does not change, since its weights sum to 1.

    Args:
        state: as in timm's `vit_base_patch16_224.dino` or the authors'
            `dino_vitbase16_pretrain.pth`.
        source: what to call the file in an error message.

    Raises:
        WeightsError: a tensor is missing or of another shape.
    """
    missing = [name for name in _FIRST if name not in state]
    if missing:
        raise WeightsError(f"{source} lacks {missing[0]}: give the weights of a DINO ViT.")
    config = _config(state, source)
    converted = {new: state[old] for old, new in _TOP.items() if old in state}
    for name, tensor in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if block is not None:
            inner = _IN_BLOCK.get(block[2], block[2])  # an unknown one is refused by `load_into`
            converted[f"transformer.resblocks.{block[1]}.{inner}"] = tensor
    bias = state.get("patch_embed.proj.bias", torch.zeros(()))
    positions = state["pos_embed"][0].float()
    converted["class_embedding"] = state["cls_token"].flatten()
    converted["positional_embedding"] = torch.cat([positions[:1], positions[1:] + bias.float()])
    converted["proj"] = torch.zeros(config["vision_cfg"]["width"], config["embed_dim"])
    return config, converted


def _config(state: State, source: str) -> dict:
    """The architecture of a DINO state as an OpenCLIP config; see `from_dino`."""
    kernel: Tensor = state["patch_embed.proj.weight"]
    width, patch = kernel.shape[0], kernel.shape[-1]
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    if state["pos_embed"].shape[1] != 1 + side * side or width % _HEAD_WIDTH:
        raise WeightsError(f"{source} is not a plain DINO ViT: give a ViT-S/16 or ViT-B/16.")
    layers = 1 + max(int(n.split(".")[1]) for n in state if re.match(r"blocks\.\d+\.", n))
    vision = {
        "image_size": side * patch,
        "layers": layers,
        "width": width,
        "head_width": _HEAD_WIDTH,
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "patch_size": patch,
        "no_ln_pre": True,
        "norm_kwargs": {"eps": _EPSILON},
    }
    return {"embed_dim": 1, "vision_cfg": vision, "text_cfg": _NO_TEXT}
