# SPDX-License-Identifier: Apache-2.0
"""The two convolutions of CLIP-DINOiser (arXiv 2312.12359, section 3) and their thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import WeightsError

# The paper's values, used when a checkpoint does not carry its own.
GAMMA = 0.2
DELTA = 0.99
INTERMEDIATE_LAYER = -3

NAMES = ("obj_proj.weight", "obj_proj.bias", "bkg_decoder.weight", "bkg_decoder.bias")


@dataclass(frozen=True)
class Heads:
    """Weights of g (`obj_proj`, 3x3) and h (`bkg_decoder`, 1x1), float32, and what belongs to them.

    Attributes:
        obj_weight, obj_bias: (c, width, 3, 3), (c,).
        bkg_weight, bkg_bias: (1, width, 1, 1), (1,).
        gamma: correlations below it do not pool (0 to 1).
        delta: probabilities below it are uncertain, for the background filter (0 to 1).
        intermediate_layer: the block of the backbone that the heads were trained on.
    """

    obj_weight: Tensor
    obj_bias: Tensor
    bkg_weight: Tensor
    bkg_bias: Tensor
    gamma: float = GAMMA
    delta: float = DELTA
    intermediate_layer: int = INTERMEDIATE_LAYER

    @property
    def width(self) -> int:
        """Channels of the intermediate features that the heads read."""
        return self.obj_weight.shape[1]

    def to(self, device: torch.device) -> Heads:
        """The same heads on another device."""
        tensors = (self.obj_weight, self.obj_bias, self.bkg_weight, self.bkg_bias)
        moved = (tensor.to(device) for tensor in tensors)
        return Heads(*moved, self.gamma, self.delta, self.intermediate_layer)

    def embeddings(self, intermediate: Tensor) -> Tensor:
        """G's outputs, whose cosine similarities are the correlations A.

        Args:
            intermediate: (B, width, h, w) intermediate features.

        Returns:
            (B, N, channels) float32, N = h * w, not normalised.
        """
        padded = F.pad(intermediate.float(), (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, self.obj_weight, self.obj_bias).flatten(2).transpose(1, 2)

    def objectness(self, intermediate: Tensor) -> Tensor:
        """H's logit that a patch shows an object rather than background.

        Args:
            intermediate: (B, width, h, w) intermediate features.

        Returns:
            (B, 1, h, w) float32 logits.
        """
        unit = F.normalize(intermediate.float(), dim=1)
        return F.conv2d(unit, self.bkg_weight, self.bkg_bias)


def heads_from_state(
    state: dict[str, Tensor], metadata: dict[str, str] | None = None, source: str = "the heads"
) -> Heads:
    """Build heads from a state dict in the authors' naming.

    Args:
        state: tensors named as in `NAMES`; other names are ignored.
        metadata: optional strings "gamma", "delta", "intermediate_layer" (safetensors metadata).
        source: what to call the checkpoint in an error message.

    Raises:
        WeightsError: a tensor is missing or the shapes do not belong together.
    """
    missing = [name for name in NAMES if name not in state]
    if missing:
        raise WeightsError(f"{source} lacks {', '.join(missing)}: give a CLIP-DINOiser checkpoint.")
    obj_w, obj_b, bkg_w, bkg_b = (state[name].float() for name in NAMES)
    width = obj_w.shape[1] if obj_w.dim() == 4 else 0
    expected = ((obj_w.shape[0], width, 3, 3), (obj_w.shape[0],), (1, width, 1, 1), (1,))
    if tuple(tuple(t.shape) for t in (obj_w, obj_b, bkg_w, bkg_b)) != expected:
        raise WeightsError(f"{source} has tensors of unexpected shapes: is it a heads checkpoint?")
    given = metadata or {}
    try:
        gamma = float(given.get("gamma", GAMMA))
        delta = float(given.get("delta", DELTA))
        layer = int(given.get("intermediate_layer", INTERMEDIATE_LAYER))
    except ValueError as error:
        raise WeightsError(f"{source} has unreadable metadata ({error}): write it again.") from None
    return Heads(obj_w, obj_b, bkg_w, bkg_b, gamma, delta, layer)
