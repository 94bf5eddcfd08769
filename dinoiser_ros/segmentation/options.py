# SPDX-License-Identifier: Apache-2.0
"""The options of a segmenter that may change between two frames, and where it computes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from dinoiser_ros.errors import OptionError
from dinoiser_ros.segmentation.methods.classification import PD_THRESHOLD
from dinoiser_ros.segmentation.methods.cliper import ATTENTION_THR
from dinoiser_ros.segmentation.methods.inputs import MethodOptions
from dinoiser_ros.segmentation.methods.pooling import KS_THRESHOLD
from dinoiser_ros.segmentation.methods.registry import BACKGROUND_SOURCES, METHODS
from dinoiser_ros.segmentation.networks.dinoiser_heads import DELTA, GAMMA, DinoiserHeads

BACKGROUND_FILTERS = ("auto", "on", "off")
BFLOAT16_WIDTH = 512  # channels from which on bfloat16 pays on a CPU
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MIN_INFERENCE_SIZE, MAX_INFERENCE_SIZE = 16, 4096  # pixels


@dataclass(frozen=True)
class Options:
    """What a segmenter does with a frame; immutable, so that a frame sees one consistent set.

    Attributes:
        method: a name in `METHODS`.
        background_filter: "auto" and "on": when a prompt is "background"; "off": never.
        gamma, delta: thresholds in [0, 1]; None for those that belong to the heads, or the paper's
            where the heads have no part in it.
        confidence_threshold: in [0, 1]; pixels below it become unlabeled.
        inference_size: shorter side in pixels; None for the image's own size.
        background_source: what the background filter goes by: "objectness" (head h) or "found"
            (FOUND's seed step on DINO's last layer).
        background_uncertainty: whether the filter leaves patches alone whose class is certain.
        ks_threshold: key smoothing changes patches whose confidence is below it (0 to 1).
        pd_threshold: prompt denoising drops classes whose confidence stays below it (0 to 1).
        attention_thr: CLIPer's threshold on a class's scores, relative to its maximum (0 to 1).

    Raises:
        OptionError: a value is none of these.
    """

    method: str = "dinoiser"
    background_filter: str = "auto"
    gamma: float | None = None
    delta: float | None = None
    confidence_threshold: float = 0.0
    inference_size: int | None = None
    background_source: str = "objectness"
    background_uncertainty: bool = True
    ks_threshold: float = KS_THRESHOLD
    pd_threshold: float = PD_THRESHOLD
    attention_thr: float = ATTENTION_THR

    @property
    def needs(self) -> frozenset[str]:
        """The parts that they cannot do without: "backbone", "heads", "dino", ...; see `Parts`."""
        entry = METHODS[self.method]
        needs = entry.needs | ({"backbone"} if entry.request else frozenset())
        if not entry.filters_background or self.background_filter == "off":
            return needs
        return needs | {BACKGROUND_SOURCES[self.background_source]}

    def __post_init__(self) -> None:
        _check_choice("method", self.method, tuple(METHODS))
        _check_choice("background_filter", self.background_filter, BACKGROUND_FILTERS)
        for name in ("gamma", "delta"):
            if getattr(self, name) is not None:
                _check_fraction(name, getattr(self, name))
        _check_choice("background_source", self.background_source, tuple(BACKGROUND_SOURCES))
        if not isinstance(self.background_uncertainty, bool):
            raise OptionError(
                f"background_uncertainty is {self.background_uncertainty!r}: use True or False."
            )
        for name in ("confidence_threshold", "ks_threshold", "pd_threshold", "attention_thr"):
            _check_fraction(name, getattr(self, name))
        size = self.inference_size
        if size is None:
            return
        if not isinstance(size, int) or not MIN_INFERENCE_SIZE <= size <= MAX_INFERENCE_SIZE:
            raise OptionError(
                f"inference_size is {size!r}: give a whole number of pixels from "
                f"{MIN_INFERENCE_SIZE} to {MAX_INFERENCE_SIZE}."
            )


def method_options(options: Options, heads: DinoiserHeads | None) -> MethodOptions:
    """Every value as it is to be used: as given, else as stored with the heads, else the paper's.

    The heads' gamma was chosen for their own correlations and says nothing about others.
    """
    pooled_by_heads = heads is not None and "heads" in METHODS[options.method].needs
    gamma = heads.gamma if pooled_by_heads else GAMMA
    delta = DELTA if heads is None else heads.delta
    return MethodOptions(
        gamma=gamma if options.gamma is None else options.gamma,
        delta=delta if options.delta is None else options.delta,
        filter_background=options.background_filter != "off",
        background_source=options.background_source,
        background_uncertainty=options.background_uncertainty,
        ks_threshold=options.ks_threshold,
        pd_threshold=options.pd_threshold,
        attention_thr=options.attention_thr,
    )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"{name} is {value!r}: use {' or '.join(map(repr, choices))}.")


def _check_fraction(name: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0.0 <= value <= 1.0:
        raise OptionError(f"{name} is {value!r}: give a number from 0 to 1.")


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
    _check_choice("precision", precision, ("auto", *PRECISIONS))


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
