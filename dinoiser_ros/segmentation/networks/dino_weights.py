# SPDX-License-Identifier: Apache-2.0
"""DINO's own weights, as timm and the authors (arXiv 2104.14294) store them, in OpenCLIP's form.

What is said here of names and of files that are refused holds for DINOv2 and DINOv3 as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.checkpoint import State

HEAD_WIDTH = 64  # of every ViT that DINO, DINOv2 and DINOv3 were published with
_EPSILON = 1e-6  # of its layer norms
# The text tower that an OpenCLIP config has to have; it is built and dropped.
NO_TEXT = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}

# What a block's tensors are called: DINO's name -> OpenCLIP's.
IN_BLOCK = {
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
SCALES = {"ls1.gamma": "ls_1.gamma", "ls2.gamma": "ls_2.gamma"}  # beside those, since DINOv2
_PATCH_BIAS = "patch_embed.proj.bias"
TOP = {
    "patch_embed.proj.weight": "conv1.weight",
    _PATCH_BIAS: "conv1.bias",
    "norm.weight": "ln_post.weight",
    "norm.bias": "ln_post.bias",
}
_DIMENSIONS = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}


@dataclass(frozen=True)
class Family:
    """Refuses files that are none of its ViTs.

    Attributes:
        name: what the networks are called.
        advice: what to give instead.
    """

    name: str
    advice: str

    def check_dimensions(self, state: State, wanted: Mapping[str, int], source: str) -> None:
        """See that tensors are there with so many dimensions, and not empty.

        Raises:
            WeightsError: one is not.
        """
        for name, dimensions in wanted.items():
            if name not in state or state[name].dim() != dimensions or not state[name].numel():
                raise WeightsError(
                    f"{source} lacks {name} of {dimensions} dimensions: {self.advice}."
                )

    def check_names(
        self,
        state: State,
        in_block: Iterable[str],
        others: Iterable[str],
        source: str,
        optional: Iterable[str] = (),
    ) -> None:
        """See that the tensors are those of a ViT, none too few or too many.

        Args:
            state: by the names that its authors have.
            in_block: names within each block.
            others: all other names.
            source: what to call the file in an error message.
            optional: names that may be there or not.

        Raises:
            WeightsError: they are not; one that is wrong is named.
        """
        blocks, names = range(block_count(state)), list(in_block)
        wanted = {f"blocks.{layer}.{name}" for layer in blocks for name in names} | set(others)
        unknown = state.keys() - wanted - set(optional)
        for what, wrong in (("missing", wanted - state.keys()), ("unknown", unknown)):
            if wrong:
                raise WeightsError(
                    f"{source} is no {self.name} ViT ({what}: {min(wrong)}): {self.advice}."
                )


_DINO = Family(
    "DINO",
    "give the weights of a DINO ViT, such as timm's vit_base_patch16_224.dino or the authors' "
    "dino_vitbase16_pretrain.pth",
)


def block_count(state: State) -> int:
    """How many blocks the names of tensors speak of."""
    return len({name.split(".")[1] for name in state if re.match(r"blocks\.\d+\.", name)})


def converted_blocks(state: State, in_block: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of all blocks by the names that OpenCLIP has.

    Args:
        state: by the names that its authors have, which `Family.check_names` knows.
        in_block: the authors' name within a block -> OpenCLIP's.
    """
    converted = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if block is not None:
            converted[f"transformer.resblocks.{block[1]}.{in_block[block[2]]}"] = tensor
    return converted


def from_dino(state: State, source: str, heads: int | None = None) -> tuple[dict[str, Any], State]:
    """An OpenCLIP config and vision tower's state that compute what a DINO ViT computes.

    OpenCLIP's patch embedding has no bias; DINO's is added to every patch's position instead, which
    resizing to another grid does not change, since its weights sum to 1.

    Args:
        state: in the layout of timm and of the authors' checkpoints. Full checkpoints ("backbone."
            in front of names, a projection head beside them) and classifiers are accepted, too.
        source: what to call the file in an error message.
        heads: attention heads; None for width / 64.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape.
    """
    state = _backbone_of(state)
    _DINO.check_dimensions(state, _DIMENSIONS, source)
    config = _config(state, source, heads)
    _DINO.check_names(state, IN_BLOCK, {*TOP, "cls_token", "pos_embed"}, source)
    converted = {new: state[old] for old, new in TOP.items() if old != _PATCH_BIAS}
    converted |= converted_blocks(state, IN_BLOCK)
    positions = state["pos_embed"][0].float()
    bias = state[_PATCH_BIAS].float()
    converted["class_embedding"] = state["cls_token"].flatten()
    converted["positional_embedding"] = torch.cat([positions[:1], positions[1:] + bias])
    converted["proj"] = torch.ones(config["vision_cfg"]["width"], config["embed_dim"])
    return config, converted


def _backbone_of(state: State) -> dict[str, Tensor]:
    """The network's own tensors, without what was trained beside it."""
    prefix = "backbone."
    if any(name.startswith(prefix) for name in state):
        state = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


def _config(state: State, source: str, heads: int | None) -> dict[str, Any]:
    """The architecture of a DINO state as an OpenCLIP config; see `from_dino`."""
    kernel = state["patch_embed.proj.weight"]
    width, patch, tokens = kernel.shape[0], kernel.shape[-1], state["pos_embed"].shape[1]
    side = math.isqrt(tokens - 1)
    if side * side != tokens - 1:
        raise WeightsError(f"{source} has {tokens} positions, no square and CLS: {_DINO.advice}.")
    if heads is None and width % HEAD_WIDTH:
        raise WeightsError(
            f"{source} has width {width}, no multiple of {HEAD_WIDTH} as in DINO: {_DINO.advice}."
        )
    vision = {
        "image_size": side * patch,
        "layers": block_count(state),
        "width": width,
        "head_width": width // heads if heads else HEAD_WIDTH,
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "patch_size": patch,
        "no_ln_pre": True,
        "norm_kwargs": {"eps": _EPSILON},
    }
    return {"embed_dim": 1, "vision_cfg": vision, "text_cfg": NO_TEXT}
