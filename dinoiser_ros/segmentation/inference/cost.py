# SPDX-License-Identifier: Apache-2.0
"""What a frame costs, estimated before anything is allocated for it.

The dominant terms of a vision transformer's forward pass, of guided pooling and of the class scores
(arXiv 2010.11929, 2312.12359). An estimate is meant to tell a second from an hour and a gigabyte
from thirty; `test_cost` compares it with real frames.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from dinoiser_ros.errors import ImageError, OptionError
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.pixels.pamr import refining_memory, refining_passes
from dinoiser_ros.utils.available_memory import available_memory

_ALWAYS_FITS = 1 << 30  # bytes; the system is not asked for frames that take less
_WIDTHS_HELD = 12  # activations as wide as the network that a block holds at once, MLP included
_MAPS_HELD = 3  # maps of class scores and of features that exist at a time
# Bytes of the correlations, or of the attention's scores, that are held at once, see
# `methods.pooling` and `networks.attention.kernels`.
_PART = {"cuda": 256 << 20, "cpu": 32 << 20}
_CELL = 8  # pixels of a cell's side in a convolutional network's grid
_PIXEL_BYTES = 40  # an image's copies on its way in and its maps on the way out
_CONVOLUTION_BYTES = 256  # activations of a convolutional network for each pixel
_REFINING = 16_000  # operations of a product that take as long as a pixel in a pass of PAMR
_TRIAL = (512, 768, 3072)  # rows, inner and columns of the product that speed is measured with


@dataclass(frozen=True)
class FrameKind:
    """What the cost of a batch of frames depends on.

    Attributes:
        size: the images' height and width.
        shape: height and width that the network sees.
        phrases: P, how many phrases every patch is compared with.
        batch: number of images.
        refinements: iterations of PAMR.
    """

    size: tuple[int, int]
    shape: tuple[int, int]
    phrases: int
    batch: int = 1
    refinements: int = 0


def frame_memory(kind: FrameKind, parts: Parts) -> int:
    """Bytes that a batch of frames takes at the peak, beside the model; about."""
    height, width = kind.shape
    pixels = _PIXEL_BYTES * (kind.size[0] * kind.size[1] + height * width)
    if kind.refinements:
        pixels += refining_memory(height * width, kind.phrases)
    if parts.network is not None:
        scores = 4 * _MAPS_HELD * _cells(kind.shape, _CELL) * kind.phrases
        return kind.batch * (pixels + _CONVOLUTION_BYTES * height * width + scores)
    backbone = parts.clip_backbone
    tokens = 1 + _cells(kind.shape, backbone.patch_size)
    activations = backbone.dtype.itemsize * _WIDTHS_HELD * tokens * backbone.width
    maps = 4 * _MAPS_HELD * tokens * (backbone.dim + kind.phrases)
    part = _PART["cpu" if backbone.device.type == "cpu" else "cuda"]
    correlations = min(2 * part, 8 * kind.batch * tokens**2)  # and those that pass the threshold
    return kind.batch * (pixels + activations + maps) + correlations


def frame_seconds(kind: FrameKind, parts: Parts) -> float:
    """About how long a CPU takes for a batch of frames, by its speed in matrix products."""
    if parts.network is not None:
        weights = sum(weight.numel() for weight in parts.network.parameters())
        operations = 2.0 * _cells(kind.shape, _CELL) * weights
    else:
        backbone = parts.clip_backbone
        width, tokens = backbone.width, 1.0 + _cells(kind.shape, backbone.patch_size)
        blocks = len(backbone.blocks) * (24 * tokens * width**2 + 4 * tokens**2 * width)
        pooling = 4 * tokens**2 * backbone.dim
        operations = blocks + pooling + 2 * tokens * backbone.dim * kind.phrases
    refining = (
        _REFINING * kind.shape[0] * kind.shape[1] * refining_passes(kind.refinements, kind.phrases)
    )
    return kind.batch * (operations + refining) / _speed(parts.main.dtype)


def check_memory(kind: FrameKind, parts: Parts) -> None:
    """Refuse a frame that would fill the memory; takes no time for one that is small.

    Raises:
        ImageError: says what it takes and what there is.
    """
    needed = frame_memory(kind, parts)
    if needed < _ALWAYS_FITS:
        return
    device = parts.main.device
    room = device_memory(device) if device.type == "cuda" else available_memory()
    if room is None or needed < room:
        return
    raise ImageError(
        f"Segmenting {_shown(kind)} takes about {needed / 1e9:.1f} GB, and {room / 1e9:.1f} GB are "
        "free: reduce inference_size or the number of prompts."
    )


def device_memory(device: torch.device) -> int:
    """Bytes that PyTorch can still allocate on a GPU: what is free, and what it keeps for reuse."""
    free: int = torch.cuda.mem_get_info(device)[0]
    kept: int = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + kept


def check_time(kind: FrameKind, parts: Parts, most: float) -> None:
    """Refuse options with which a CPU takes longer than `most` seconds for a frame.

    Raises:
        OptionError: says what it takes, in time and memory, and what would be possible.
    """
    if parts.main.device.type != "cpu":
        return
    seconds = frame_seconds(kind, parts)
    if seconds <= most:
        return
    shorter = min(kind.shape)
    fitting = shorter
    while fitting > 16 and frame_seconds(_scaled(kind, fitting / shorter), parts) > most:
        fitting = fitting * 9 // 10
    raise OptionError(
        f"Segmenting {_shown(kind)} takes about {_duration(seconds)} and "
        f"{frame_memory(kind, parts) / 1e9:.1f} GB for each image on this CPU: set inference_size "
        f"to {fitting // 16 * 16 or 16} or less, or use a GPU."
    )


def _scaled(kind: FrameKind, factor: float) -> FrameKind:
    height, width = (max(1, round(side * factor)) for side in kind.shape)
    return replace(kind, shape=(height, width))


def _cells(shape: tuple[int, int], side: int) -> int:
    return math.ceil(shape[0] / side) * math.ceil(shape[1] / side)


def _shown(kind: FrameKind) -> str:
    return f"at {kind.shape[1]}x{kind.shape[0]} pixels with {kind.phrases} phrases"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


@lru_cache(maxsize=4)
def _speed(dtype: torch.dtype) -> float:
    """Operations per second of the CPU in matrix products of a frame's size, measured once."""
    rows, inner, columns = _TRIAL
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    best = math.inf
    for _ in range(4):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2.0 * rows * inner * columns / max(best, 1e-6)
