# SPDX-License-Identifier: Apache-2.0
"""Where a segmenter computes, and in which floating-point type."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from dinoiser_ros.errors import OptionError
from dinoiser_ros.option_schema import MODEL_OPTIONS
from dinoiser_ros.utils.option import by_name
from dinoiser_ros.utils.sentences import first_line

BFLOAT16_WIDTH = 512  # channels from which on bfloat16 pays on a CPU
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CHOSEN = ("auto", "int8")  # int8 is an engine's: what PyTorch computes is as with "auto"
_PRECISION = by_name(MODEL_OPTIONS)["precision"]


def resolve_device(device: str) -> torch.device:
    """The device that a name means.

    Args:
        device: "auto", or as PyTorch writes it.

    Raises:
        OptionError: unknown, or not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"The device {device!r} cannot be used ({first_line(error)}): try 'auto'."
        ) from error
    return target


def check_precision(precision: str) -> None:
    """Raise OptionError unless it is a choice of the option `precision`."""
    _PRECISION.check(precision)


def resolve_precision(precision: str, device: torch.device, width: int) -> torch.dtype:
    """The floating-point type that a name means on a device.

    "auto" is float16 on a GPU; on a CPU with instructions for it bfloat16 for wide networks, whose
    time is that of matrix products; float32 otherwise.

    Args:
        precision: "auto", "float32", "bfloat16", "float16" or "int8".
        width: channels of the network.

    Raises:
        OptionError: another name.
    """
    check_precision(precision)
    if precision not in _CHOSEN:
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.float16
    wide = device.type == "cpu" and width >= BFLOAT16_WIDTH
    return torch.bfloat16 if wide and cpu_has_bfloat16() else torch.float32


def has_low_attention(precision: str, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a network in float32 may round attention over many tokens to bfloat16.

    That is if nobody asked for float32, and the processor multiplies bfloat16: attention, which
    grows with the square of the tokens, is most of the time of a small network then.

    Args:
        precision: as the user gave it.
        dtype: what `resolve_precision` made of it.
    """
    narrow = precision == "auto" and dtype == torch.float32
    return narrow and device.type == "cpu" and cpu_has_bfloat16()


@lru_cache(maxsize=1)
def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX-512 BF16, AMX, or Arm's BF16)."""
    try:
        words = set(Path(cpuinfo).read_text().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
