# SPDX-License-Identifier: Apache-2.0
"""How OpenCLIP lays out its models: the names of the parts that this project reads.

The classes declare types and build nothing. `plain_clip` derives from them; models that open_clip
itself builds have the same attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError

Layer = Callable[[Tensor], Tensor]


class ResidualBlock(nn.Module):
    """A pre-norm transformer block; `ls_1` and `ls_2` are the identity or a LayerScale."""

    ln_1: Layer
    attn: nn.MultiheadAttention
    ls_1: Layer
    ln_2: Layer
    mlp: nn.Sequential
    ls_2: Layer


class Transformer(nn.Module):
    """The blocks of a tower; see `residual_blocks`."""

    resblocks: nn.ModuleList


class VisionTower(nn.Module):
    """The `visual` part of a CLIP that is a plain vision transformer, see `vision_tower`.

    The shapes are: `class_embedding` (width,), `positional_embedding` (1 + n * n, width), CLS
    first, `proj` (width, d).
    """

    conv1: nn.Conv2d
    class_embedding: nn.Parameter
    positional_embedding: nn.Parameter
    ln_pre: Layer
    transformer: Transformer
    ln_post: Layer
    proj: nn.Parameter


class ClipModel(nn.Module):
    """A CLIP with both towers; the text tower's parts lie beside `visual`."""

    visual: VisionTower
    transformer: Transformer
    context_length: int
    vocab_size: int
    token_embedding: nn.Embedding
    positional_embedding: nn.Parameter
    ln_final: Layer
    text_projection: nn.Parameter | nn.Linear | None
    logit_scale: nn.Parameter


class Tokenizer(Protocol):
    """open_clip's tokenizer for a model."""

    context_length: int

    def encode(self, text: str, /) -> list[int]:
        """The token ids of a text, without start and end."""

    def __call__(self, texts: list[str], /) -> Tensor:
        """(T, context_length) int64 token ids of texts, with start, end and padding."""


def residual_blocks(transformer: Transformer) -> list[ResidualBlock]:
    """A transformer's blocks in their order."""
    return cast("list[ResidualBlock]", list(transformer.resblocks))


def patch_size(tower: VisionTower) -> int:
    """Pixels of a patch's side."""
    return tower.conv1.kernel_size[0]


def stream_type(tower: VisionTower) -> torch.dtype:
    """The floating-point type of what the blocks add to: that of their norms, see `cast_tower`."""
    return _norms(tower)[0].weight.dtype


def cast_tower(tower: VisionTower, dtype: torch.dtype, exact_stream: bool) -> None:
    """Cast the weights of a tower.

    Args:
        exact_stream: leave the norms of the blocks in float32, and so the sums over all blocks:
            rounding those is what costs most of the precision, and hardly any time.
    """
    norms = _norms(tower)
    exact = [norm.state_dict() for norm in norms]
    tower.to(dtype)
    if exact_stream:
        for norm, state in zip(norms, exact, strict=True):
            norm.float().load_state_dict(state)


def _norms(tower: VisionTower) -> list[nn.LayerNorm]:
    """Both norms of each block."""
    blocks = residual_blocks(tower.transformer)
    return [cast("nn.LayerNorm", norm) for block in blocks for norm in (block.ln_1, block.ln_2)]


def vision_tower(module: nn.Module) -> VisionTower:
    """A module as a plain vision transformer, which is all that this project computes with.

    Raises:
        WeightsError: it is not one; the message says what is different.
    """
    advice = "use a plain OpenCLIP ViT such as ViT-B-16"
    if not all(hasattr(module, name) for name in ("conv1", "transformer", "ln_post", "proj")):
        raise WeightsError(f"The vision tower {type(module).__name__} is not supported: {advice}.")
    tower = cast("VisionTower", module)
    if tower.proj is None or getattr(tower, "attn_pool", None) is not None:
        raise WeightsError(f"Vision towers with attentional pooling are not supported: {advice}.")
    for block in tower.transformer.resblocks:
        if not isinstance(getattr(block, "attn", None), nn.MultiheadAttention):
            raise WeightsError(f"Custom attention blocks are not supported: {advice}.")
    return tower
