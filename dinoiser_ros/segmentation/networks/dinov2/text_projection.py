# SPDX-License-Identifier: Apache-2.0
"""Talk2DINO's network from CLIP's texts to DINOv2's patches (arXiv 2411.19331, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.checkpoint import State, load_into, shapes_of

_FIRST, _SECOND = "linear_layer.weight", "hidden_layers.0.weight"


class TextProjection(nn.Module):
    """Linear, hyperbolic tangent, linear; parameter names as the authors have them."""

    def __init__(self, texts: int, width: int) -> None:
        super().__init__()
        self.linear_layer = nn.Linear(texts, width)
        self.hidden_layers = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, texts: Tensor) -> Tensor:
        """(..., texts) embeddings of CLIP, not normalised -> (..., width)."""
        y: Tensor = self.hidden_layers[0](torch.tanh(self.linear_layer(texts)))
        return y


def projection_from_state(state: State, texts: int, width: int, source: str) -> TextProjection:
    """Build it from the authors' file.

    Args:
        state: named as in `TextProjection`; `linear_layer2` is the second in older files.
        texts, width: length of CLIP's embeddings and of DINOv2's tokens.
        source: what to call the file in an error message.

    Raises:
        WeightsError: it is no such file, or belongs to other networks.
    """
    state = {name.replace("linear_layer2.", "hidden_layers.0."): state[name] for name in state}
    shapes = shapes_of(state)
    if _FIRST not in shapes or _SECOND not in shapes:
        raise WeightsError(f"{source} lacks {_FIRST} and {_SECOND}: give Talk2DINO's projection.")
    if tuple(shapes[_FIRST]) != (width, texts):
        raise WeightsError(
            f"{source} maps texts by a matrix of {tuple(shapes[_FIRST])}, and this model needs "
            f"{(width, texts)}: give the projection that belongs to its DINOv2 and its CLIP."
        )
    projection = TextProjection(texts, width)
    load_into(projection, state, source)
    return projection.eval().requires_grad_(False)
