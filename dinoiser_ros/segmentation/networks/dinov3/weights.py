# SPDX-License-Identifier: Apache-2.0
"""DINOv3's weights, as its authors and timm store them, under the names of `DinoV3Tower`."""

from __future__ import annotations

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
from dinoiser_ros.segmentation.networks.register_tower import RegisterSizes
from dinoiser_ros.segmentation.weights.checkpoint import State

from .rotation import default_periods

_QKV_BIAS = "attn.qkv.bias"
_IN_BLOCK = {name: new for name, new in IN_BLOCK.items() if name != _QKV_BIAS} | SCALES
_DIMENSIONS = {
    "patch_embed.proj.weight": 4, "cls_token": 3, "blocks.0.attn.qkv.weight": 2,
    "blocks.0.mlp.fc1.weight": 2,
}  # fmt: skip
_OF_TIMM = {"gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
_UNUSED = ("mask_token", "local_cls_norm.weight", "local_cls_norm.bias")  # of its training
_FAMILY = Family(
    "DINOv3",
    "give the weights of a DINOv3 ViT with an ordinary MLP, such as the authors' "
    "dinov3_vitb16_pretrain_lvd1689m or timm's vit_base_patch16_dinov3.lvd1689m",
)


def is_dinov3(state: State) -> bool:
    """Whether these are weights of a DINOv3 rather than a DINOv2, whose positions are learnt."""
    return "cls_token" in state and "pos_embed" not in state


def from_dinov3(given: State, source: str) -> tuple[RegisterSizes, State]:
    """The architecture of a DINOv3 and its state for `DinoV3Tower`.

    Args:
        given: in the layout of the authors or of timm, whose files leave out the periods and, but
            for those with "qkvb" in their names, the bias of queries, keys and values.
        source: what to call the file in an error message.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape.
    """
    state = {_authors_name(name): given[name] for name in given if name not in _UNUSED}
    _FAMILY.check_dimensions(state, _DIMENSIONS, source)
    state.setdefault("storage_tokens", state["cls_token"][:, :0])
    sizes = _sizes(state, source)
    blocks = [f"blocks.{layer}." for layer in range(sizes.layers)]
    biases = {
        f"{block}{_QKV_BIAS}": _qkv_bias(state, block, sizes.width, source) for block in blocks
    }
    periods = state.pop("rope_embed.periods", default_periods(HEAD_WIDTH))
    _FAMILY.check_names(state, _IN_BLOCK, {*TOP, "cls_token", "storage_tokens"}, source)
    converted = {new: state[old] for old, new in TOP.items()}
    converted |= converted_blocks({**state, **biases}, IN_BLOCK | SCALES)
    converted["class_embedding"] = state["cls_token"].flatten()
    converted["register_tokens"] = state["storage_tokens"].reshape(sizes.registers, -1)
    converted["periods"] = periods.float()
    return sizes, converted


def _authors_name(name: str) -> str:
    if name == "reg_token":
        return "storage_tokens"
    block, _, last = name.rpartition(".")
    return f"{block}.{_OF_TIMM[last]}" if last in _OF_TIMM else name


def _qkv_bias(state: dict[str, Tensor], block: str, width: int, source: str) -> Tensor:
    """(3 * width,): the bias of queries and values; keys have none. Taken out of the state."""
    query, value = (state.pop(f"{block}attn.{name}_bias", None) for name in "qv")
    whole, mask = (state.pop(f"{block}{_QKV_BIAS}{end}", None) for end in ("", "_mask"))
    if query is not None and value is not None:
        whole = torch.cat([query, torch.zeros_like(query), value])
    if whole is None:
        whole = torch.zeros(3 * width)
    if whole.shape != (3 * width,) or (mask is not None and mask.shape != whole.shape):
        raise WeightsError(f"{source} has {block}{_QKV_BIAS} of another length: {_FAMILY.advice}.")
    keeps = torch.ones_like(whole) if mask is None else mask.to(whole.dtype)
    return torch.where(keeps == 0, torch.zeros_like(whole), whole)


def _sizes(state: State, source: str) -> RegisterSizes:
    kernel = state["patch_embed.proj.weight"]
    width, tokens = kernel.shape[0], state["storage_tokens"]
    if width % HEAD_WIDTH or tokens.dim() != 3 or tokens.shape[-1] != width:
        raise WeightsError(f"{source} has sizes that do not belong together: {_FAMILY.advice}.")
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    return RegisterSizes(width, block_count(state), kernel.shape[-1], tokens.shape[1], hidden)
