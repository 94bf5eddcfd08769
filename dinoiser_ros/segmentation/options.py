# SPDX-License-Identifier: Apache-2.0
"""The options of a segmenter that may change between two frames, and where it computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from dinoiser_ros.errors import OptionError
from dinoiser_ros.option_schema import FRAME_OPTIONS, MODEL_OPTIONS, FrameOptions
from dinoiser_ros.segmentation.methods.inputs import MethodOptions, Parts
from dinoiser_ros.segmentation.methods.registry import BACKGROUND_SOURCES, METHODS, MODEL_PARTS
from dinoiser_ros.segmentation.networks.dinoiser_heads import DELTA, GAMMA, DinoiserHeads
from dinoiser_ros.utils.option import by_name

BFLOAT16_WIDTH = 512  # channels from which on bfloat16 pays on a CPU
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PRECISION = by_name(MODEL_OPTIONS)["precision"]


@dataclass(frozen=True)
class Options(FrameOptions):
    """What a segmenter does with a frame; immutable, so that a frame sees one consistent set.

    What each option means, takes and is by default stands in `option_schema.FrameOptions`.

    Raises:
        OptionError: a value is not allowed.
    """

    @property
    def needs(self) -> frozenset[str]:
        """The parts that they cannot do without: "backbone", "heads", "dino", ...; see `Parts`."""
        entry = METHODS[self.method]
        needs = entry.needs | ({"backbone"} if entry.request else frozenset())
        if not entry.filters_background or self.background_filter == "off":
            return needs
        return needs | {BACKGROUND_SOURCES[self.background_source]}

    def __post_init__(self) -> None:
        for option in FRAME_OPTIONS:
            option.check(getattr(self, option.name))


def missing_parts(options: Options, parts: Parts) -> tuple[str, ...]:
    """The names of the parts that these options need and that are not there."""
    return tuple(name for name in sorted(options.needs) if getattr(parts, name) is None)


def check_parts(options: Options, parts: Parts) -> None:
    """Refuse options that need a part that was not loaded.

    Raises:
        OptionError: it says which part, and what to do.
    """
    for name in missing_parts(options, parts):
        if name in MODEL_PARTS:
            raise OptionError(
                f"The method {options.method!r} {MODEL_PARTS[name]}: load another `model`."
            )
        raise OptionError(
            f"The method {options.method!r} needs {name} with these options, which this model "
            f"was loaded without: give `{name}`."
        )


def method_options(options: Options, heads: DinoiserHeads | None) -> MethodOptions:
    """Every value as it is to be used: as given, else as stored with the heads, else the paper's.

    The heads' gamma was chosen for their own correlations and says nothing about others.
    """
    pooled_by_heads = "heads" in METHODS[options.method].needs
    gamma = heads.gamma if heads is not None and pooled_by_heads else GAMMA
    delta = DELTA if heads is None else heads.delta
    given = {option.name: getattr(options, option.name) for option in FRAME_OPTIONS}
    given["gamma"] = gamma if options.gamma is None else options.gamma
    given["delta"] = delta if options.delta is None else options.delta
    return MethodOptions(**given)


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
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"The device {device!r} cannot be used ({reason}): try 'auto'."
        ) from error
    return target


def check_precision(precision: str) -> None:
    """Raise OptionError unless it is "auto", "float32", "bfloat16" or "float16"."""
    _PRECISION.check(precision)


def resolve_precision(precision: str, device: torch.device, width: int) -> torch.dtype:
    """The floating-point type that a name means on a device.

    "auto" is float16 on a GPU; on a CPU with instructions for it bfloat16 for wide networks, whose
    time is that of matrix products; float32 otherwise.

    Args:
        precision: "auto", "float32", "bfloat16" or "float16".
        width: channels of the network.

    Raises:
        OptionError: another name.
    """
    check_precision(precision)
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.float16
    wide = device.type == "cpu" and width >= BFLOAT16_WIDTH
    return torch.bfloat16 if wide and cpu_has_bfloat16() else torch.float32


@lru_cache(maxsize=1)
def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor multiplies bfloat16 itself (AVX-512 BF16, AMX, or Arm's BF16)."""
    try:
        words = set(Path(cpuinfo).read_text().split())
    except OSError:
        return False
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
