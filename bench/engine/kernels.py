# SPDX-License-Identifier: Apache-2.0
"""The kernels of attention that there are on a CPU, and which of them is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.networks.attention.choice import CHOOSER, situation_of
from dinoiser_ros.segmentation.networks.attention.kernels import candidates

from .report import Section
from .segmenters import tokens_of
from .timing import in_turns


def time_kernels(
    segmenter: Segmenter, sizes: Sequence[tuple[int, int]], rounds: int, seconds: float
) -> tuple[Section, list[str]]:
    """Each kernel on random numbers, as a block of the model calls it, in both precisions.

    Returns:
        The times, and a line for each number of tokens that says what is chosen.
    """
    backbone = segmenter.backbone
    heads = backbone.blocks[0].attn.num_heads
    section, chosen = {}, []
    for dtype in dict.fromkeys((backbone.dtype, torch.float32)):
        for tokens in dict.fromkeys(tokens_of(backbone, *size) for size in sizes):
            low = dtype == torch.float32 and backbone.dtype == torch.bfloat16
            kernels = candidates(dtype, tokens, low)
            qkv = torch.randn(1, tokens, 3 * backbone.width).to(dtype)
            runs = {name: partial(_run, kernel, qkv, heads) for name, kernel in kernels.items()}
            name = f"{str(dtype).removeprefix('torch.')}, {tokens} tokens"
            section[name] = in_turns(runs, rounds, seconds)
            if dtype == backbone.dtype:
                situation = situation_of(heads, backbone.width // heads, tokens, dtype)
                chosen.append(f"{name}: {CHOOSER.choice(situation).kernel}")
    return section, chosen


@torch.inference_mode()
def _run(kernel, qkv: torch.Tensor, heads: int) -> None:
    kernel(qkv, heads)
