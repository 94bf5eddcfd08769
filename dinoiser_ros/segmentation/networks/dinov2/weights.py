# SPDX-License-Identifier: Apache-2.0
"""DINOv2's weights, as its authors and timm store them, under the names of `DinoV2Tower`."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.dino_weights import (
    HEAD_WIDTH,
    IN_BLOCK,
    SCALES,
    TOP,
    Family,
    block_count,
    converted_blocks,
)
from dinoiser_ros.segmentation.weights.checkpoint import State

from .tower import DinoV2Sizes

_IN_BLOCK = IN_BLOCK | SCALES
_DIMENSIONS = {
    "patch_embed.proj.weight": 4, "pos_embed": 3, "cls_token": 3, "blocks.0.mlp.fc1.weight": 2,
}  # fmt: skip
_REGISTERS = ("register_tokens", "reg_token")  # of the authors, of timm
_UNUSED = ("mask_token",)  # of its training
_FAMILY = Family(
    "DINOv2",
    "give the weights of a DINOv2 ViT with an ordinary MLP, such as the authors' "
    "dinov2_vitb14_reg4_pretrain.pth or timm's vit_base_patch14_reg4_dinov2.lvd142m",
)


def from_dinov2(state: State, source: str) -> tuple[DinoV2Sizes, State]:
    """The architecture of a DINOv2 and its state for `DinoV2Tower`.

    Args:
        state: in the layout of the authors or of timm, which has CLS's position added to CLS.
        source: what to call the file in an error message.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape.
    """
    state = {name: tensor for name, tensor in state.items() if name not in _UNUSED}
    _FAMILY.check_dimensions(state, _DIMENSIONS, source)
    registers = _registers(state)
    sizes = _sizes(state, registers, source)
    others = {*TOP, "cls_token", "pos_embed"}
    _FAMILY.check_names(state, _IN_BLOCK, others, source, optional=_REGISTERS)
    converted = {new: state[old] for old, new in TOP.items()}
    converted |= converted_blocks(state, _IN_BLOCK)
    positions = state["pos_embed"][0]
    if len(positions) == sizes.side**2:
        positions = torch.cat([torch.zeros_like(positions[:1]), positions])
    converted["positional_embedding"] = positions
    converted["class_embedding"] = state["cls_token"].flatten()
    converted["register_tokens"] = registers.reshape(sizes.registers, -1)
    return sizes, converted


def _registers(state: State) -> Tensor:
    """(1, R, width); R is 0 in networks without registers."""
    for name in _REGISTERS:
        if name in state:
            return state[name]
    return state["cls_token"][:, :0]


def _sizes(state: State, registers: Tensor, source: str) -> DinoV2Sizes:
    kernel, tokens = state["patch_embed.proj.weight"], state["pos_embed"].shape[1]
    width = kernel.shape[0]
    side = math.isqrt(tokens)
    if side * side not in (tokens, tokens - 1):
        raise WeightsError(f"{source} has {tokens} positions, no square of them: {_FAMILY.advice}.")
    if width % HEAD_WIDTH or registers.dim() != 3 or registers.shape[-1] != width:
        raise WeightsError(f"{source} has sizes that do not belong together: {_FAMILY.advice}.")
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    return DinoV2Sizes(
        width, block_count(state), kernel.shape[-1], registers.shape[1], hidden, side
    )
