# SPDX-License-Identifier: Apache-2.0
"""What the tensors of a checkpoint must be besides of the right shape: their types and values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError

_FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
_SCALES = ("weight", "gamma", "running_var")  # ends of names, of vectors as well
_INTEGERS = frozenset({"int64", "int32", "int16", "int8", "uint8"})
# Types that safetensors files have, by PyTorch's names.
_STORED_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def stored_type(code: str) -> str:
    """PyTorch's name of a type in a safetensors file, such as "float16" for "F16"."""
    return _STORED_TYPES.get(code, code.lower())


def type_of(tensor: Tensor) -> str:
    """The name of a tensor's type, such as "float16"; "sparse" or "meta" for one without values."""
    if tensor.is_meta:
        return "meta"
    if tensor.layout is not torch.strided:
        return "sparse"
    return str(tensor.dtype).removeprefix("torch.")


def can_fill(given: str, wanted: str) -> bool:
    """Whether values of one type are numbers of the other: quantised weights are no such numbers.

    Args:
        given, wanted: names of types, see `type_of`.
    """
    return any(given in kind and wanted in kind for kind in (_FLOATS, _INTEGERS))


def check_values(name: str, tensor: Tensor, source: str) -> None:
    """Refuse a weight with values that no training gives.

    Args:
        name: the weight's.
        tensor: any shape, as the network has it.
        source: what to call the file in an error message.

    Raises:
        WeightsError: NaN or infinity among the values, or a matrix or scale of zeros.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return
    total = tensor.sum()  # one pass; only what is odd is looked at again
    if not total.isfinite() and not tensor.isfinite().all():
        raise WeightsError(
            f"{source} has values in {name} that are not finite (NaN or infinity): it is damaged, "
            "or its training failed; fetch it again."
        )
    # Biases may be zeros; what features are multiplied with, or divided by, may not.
    scales = tensor.dim() > 1 or name.endswith(_SCALES)
    if scales and total == 0 and not tensor.any():
        raise WeightsError(
            f"{source} has nothing but zeros in {name}: it is damaged, fetch it again."
        )


def check_module(module: nn.Module, source: str) -> None:
    """Refuse a network that a library has loaded, by its weights' types and values.

    Raises:
        WeightsError: one is no floating-point number, or see `check_values`.
    """
    for name, tensor in module.named_parameters():
        if not can_fill(type_of(tensor), "float32"):
            raise WeightsError(
                f"{source} has {type_of(tensor)} values in {name}: give weights that are not "
                "quantised."
            )
        check_values(name, tensor.detach(), source)
