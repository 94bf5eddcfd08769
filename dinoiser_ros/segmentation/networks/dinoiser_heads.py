# SPDX-License-Identifier: Apache-2.0
"""The two convolutions of CLIP-DINOiser (arXiv 2312.12359, section 3) and their thresholds."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.checkpoint import load_into, shapes_of
from dinoiser_ros.segmentation.weights.uninitialised import Uninitialised

# The paper's values, used when a checkpoint does not carry its own.
GAMMA = 0.2
DELTA = 0.99
INTERMEDIATE_LAYER = -3
CHANNELS = 256  # of g, in the authors' checkpoint

NAMES = ("obj_proj.weight", "obj_proj.bias", "bkg_decoder.weight", "bkg_decoder.bias")


class DinoiserHeads(nn.Module):
    """The heads g and h, in float32, with random weights; parameter names as the authors have them.

    G may be cast, see `with_embeddings_in`. H decides by a threshold, and costs nothing.

    Args:
        width: channels of the intermediate features that the heads read.
        channels: of g's embeddings.
        gamma: correlations below it do not pool (0 to 1).
        delta: probabilities below it are uncertain, for the background filter (0 to 1).
        intermediate_layer: the block of the backbone that the heads were trained on.

    Attributes:
        obj_proj: g, a 3x3 convolution.
        bkg_decoder: h, a 1x1 convolution.
        width, channels, gamma, delta, intermediate_layer: as above.
    """

    def __init__(
        self,
        width: int,
        channels: int = CHANNELS,
        gamma: float = GAMMA,
        delta: float = DELTA,
        intermediate_layer: int = INTERMEDIATE_LAYER,
    ) -> None:
        super().__init__()
        self.width, self.channels = width, channels
        self.gamma, self.delta = gamma, delta
        self.intermediate_layer = intermediate_layer
        self.obj_proj = nn.Conv2d(width, channels, 3, padding=1, padding_mode="replicate")
        self.bkg_decoder = nn.Conv2d(width, 1, 1)

    def embeddings(self, intermediate: Tensor) -> Tensor:
        """G's outputs, whose cosine similarities are the correlations A.

        Args:
            intermediate: (B, width, h, w) intermediate features.

        Returns:
            (B, N, channels) float32, N = h * w, not normalised.
        """
        embedded: Tensor = self.obj_proj(intermediate.to(self.obj_proj.weight.dtype))
        return embedded.flatten(2).transpose(1, 2).float()

    def with_embeddings_in(self, dtype: torch.dtype) -> DinoiserHeads:
        """These heads with g computed in another floating-point type."""
        heads = copy.deepcopy(self)
        heads.obj_proj.to(dtype)
        return heads

    def objectness(self, intermediate: Tensor) -> Tensor:
        """H's logit that a patch shows an object rather than background.

        Args:
            intermediate: (B, width, h, w) intermediate features.

        Returns:
            (B, 1, h, w) float32 logits.
        """
        logits: Tensor = self.bkg_decoder(F.normalize(intermediate.float(), dim=1))
        return logits


def heads_from_state(
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    source: str = "the heads",
) -> DinoiserHeads:
    """Build heads from a state dict in the authors' naming.

    Args:
        state: tensors named as in `NAMES`; other names are ignored.
        metadata: optional strings "gamma", "delta", "intermediate_layer" (safetensors metadata).
        source: what to call the checkpoint in an error message.

    Returns:
        The heads in float32, frozen.

    Raises:
        WeightsError: a tensor is missing, the shapes do not belong together, or a value cannot be.
    """
    missing = [name for name in NAMES if name not in state]
    if missing:
        raise WeightsError(f"{source} lacks {', '.join(missing)}: give a CLIP-DINOiser checkpoint.")
    shapes = [tuple(shapes_of(state)[name]) for name in NAMES]
    channels, width = shapes[0][:2] if len(shapes[0]) == 4 else (0, 0)
    expected = ((channels, width, 3, 3), (channels,), (1, width, 1, 1), (1,))
    if tuple(shapes) != expected or 0 in (channels, width):
        raise WeightsError(f"{source} has tensors of unexpected shapes: is it a heads checkpoint?")
    given = metadata or {}
    try:
        gamma = float(given.get("gamma", GAMMA))
        delta = float(given.get("delta", DELTA))
        layer = int(given.get("intermediate_layer", INTERMEDIATE_LAYER))
    except ValueError as error:
        raise WeightsError(f"{source} has unreadable metadata ({error}): write it again.") from None
    for name, value in (("gamma", gamma), ("delta", delta)):
        if not 0.0 <= value <= 1.0:  # also if it is NaN
            raise WeightsError(
                f"{source} has {name} {value:g} in its metadata, which must be from 0 to 1: write "
                "it again."
            )
    with Uninitialised():
        heads = DinoiserHeads(width, channels, gamma, delta, layer)
    load_into(heads, {name: state[name] for name in NAMES}, source)
    return heads.eval().requires_grad_(False)
