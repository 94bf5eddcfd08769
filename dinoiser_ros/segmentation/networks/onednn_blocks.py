# SPDX-License-Identifier: Apache-2.0
"""Transformer blocks on a CPU, with less overhead around the arithmetic.

On many processors oneDNN multiplies float32 matrices faster than PyTorch's default, and applies
the activation in the same call. In bfloat16, PyTorch converts the weights to oneDNN's layout in
every call: here they are packed once. How attention is computed is measured, see
`attention.choice`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from .attention.choice import CHOOSER
from .blocks import BlockHalves, PlainBlock, Turn
from .open_clip_types import ResidualBlock

_TOKENS = 1024  # for which the layout is chosen; it is right for any number

# What torch.compile puts in the place of linear layers.
_OPERATORS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
_MLP = ["c_fc", "gelu", "c_proj"]
_X86 = ("x86_64", "AMD64")  # where it was measured to pay in float32


def fastest_block(block: ResidualBlock, low_attention: bool = False) -> BlockHalves:
    """The fastest way there is to compute a block where and how its weights are.

    Args:
        low_attention: see `OneDnnBlock`.
    """
    return OneDnnBlock(block, low_attention) if has_onednn(block) else PlainBlock(block)


def has_onednn(block: ResidualBlock) -> bool:
    """Whether PyTorch and the processor have what it takes, and the block only what they know."""
    weight = block.attn.in_proj_weight
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS):
        return False
    if [name for name, _ in block.mlp.named_children()] != _MLP:
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32 and platform.machine() in _X86


class OneDnnBlock:
    """See above. The weights' own layout is kept, too: other methods read them.

    Args:
        block: of an OpenCLIP transformer, in bfloat16 or float32 on a CPU. Weights in bfloat16 are
            copied: those that change later do not count.
        low_attention: whether attention over many tokens may be rounded to bfloat16.
    """

    def __init__(self, block: ResidualBlock, low_attention: bool = False) -> None:
        attn, mlp = block.attn, block.mlp
        gelu = mlp.gelu.approximate if isinstance(mlp.gelu, nn.GELU) else None
        self._heads = attn.num_heads
        self._low_attention = low_attention
        self._qkv = _linear(attn.in_proj_weight, attn.in_proj_bias)
        self._out = _linear(attn.out_proj.weight, attn.out_proj.bias)
        up, down = cast("nn.Linear", mlp.c_fc), cast("nn.Linear", mlp.c_proj)
        self._up = _linear(up.weight, up.bias, gelu=gelu)
        self._activation = nn.Identity() if gelu else cast("nn.Module", mlp.gelu)
        self._down = _linear(down.weight, down.bias)

    def attention(self, x: Tensor, /, turn: Turn | None = None) -> Tensor:
        """See `BlockHalves.attention`."""
        qkv = self._qkv(x)
        attend = CHOOSER.kernel(qkv, self._heads, self._low_attention)
        return self._out(attend(turn(qkv) if turn else qkv, self._heads))

    def mlp(self, x: Tensor) -> Tensor:
        """See `BlockHalves.mlp`."""
        activated: Tensor = self._activation(self._up(x))
        return self._down(activated)


def _linear(
    weight: Tensor, bias: Tensor | None, gelu: str | None = None
) -> Callable[[Tensor], Tensor]:
    """`F.linear` with this weight and bias, and behind it GELU of a kind ("none", "tanh")."""
    weight = weight.detach()
    if weight.dtype == torch.bfloat16:  # in float32: a twentieth of the time for 340 MB of copies
        weight = torch.ops.mkldnn._reorder_linear_weight(weight, _TOKENS)
    behind: tuple[str, list[float], str] = ("gelu", [], gelu) if gelu else ("none", [], "")
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, weight, bias, *behind)
