# SPDX-License-Identifier: Apache-2.0
"""FOUND as a teacher: where objects are, without any label (arXiv 2212.07834).

Two forms: the seed step (section 3.1, `segmentation.methods.found`), which needs nothing but DINO,
and the trained 1x1 head (section 3.2) on DINO's keys. Both give the foreground of a `LastLayer`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.methods.found import background
from dinoiser_ros.segmentation.networks.dino import LastLayer
from dinoiser_ros.segmentation.weights.checkpoint import State, load_into


def seed_foreground(last: LastLayer) -> Tensor:
    """FOUND's first step as a teacher: (B, N) float, 1 where a patch is not background."""
    return 1.0 - background(last.cls_attention.float(), last.keys.float()).float()


class FoundHead(nn.Module):
    """FOUND's trained form: one 1x1 convolution on DINO's keys, heads concatenated."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Weight (1, D) and bias (1,) of the convolution."""
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", bias.float())

    @torch.no_grad()
    def forward(self, last: LastLayer) -> Tensor:
        """(B, N) float in [0, 1]: how likely a patch shows an object."""
        logits = F.linear(last.keys.flatten(2).float(), self.weight, self.bias)
        return logits[..., 0].sigmoid()


def found_head_from_state(state: State, width: int, source: str) -> FoundHead:
    """Build the trained head for a DINO of a width.

    Args:
        state: a (1, D, 1, 1) `weight` and a (1,) `bias`, with or without "decoder." in front.
        source: what to call it in an error message.

    Raises:
        WeightsError: it is no such head, made for another DINO, or has values that cannot be.
    """
    state = {name.removeprefix("decoder."): tensor for name, tensor in state.items()}
    weight, bias = state.get("weight"), state.get("bias")
    if (
        weight is None
        or weight.dim() != 4
        or weight.shape != (1, weight.shape[1], 1, 1)
        or bias is None
        or bias.shape != (1,)
    ):
        raise WeightsError(
            f"{source} is not FOUND's head (a 1x1 convolution with one output): give its "
            "decoder_weights.pt."
        )
    if weight.shape[1] != width:
        raise WeightsError(
            f"{source} reads keys of width {weight.shape[1]}, this DINO's have {width}: give the "
            "DINO that it was trained on (FOUND's own: ViT-S/8)."
        )
    head = FoundHead(torch.empty(1, width), torch.empty(1))
    load_into(head, {"weight": weight.flatten(1), "bias": bias}, source)
    return head
