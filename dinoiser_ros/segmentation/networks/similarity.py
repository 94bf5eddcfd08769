# SPDX-License-Identifier: Apache-2.0
"""From cosines between features and texts to scores: what a model was trained to read into them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """How a model scores classes.

    CLIP was trained with a softmax over texts, of which exactly one is right: its scores say which
    class is the likeliest. SigLIP (arXiv 2303.15343, equation 1) was trained with a sigmoid for
    each pair by itself: its scores say whether the class is there, and need not sum to 1.

    Attributes:
        scale: cosines are multiplied with it; CLIP's logit scale is clipped at 100.
        bias: is added to them, for a sigmoid; None for a softmax over the classes.
    """

    scale: float = 100.0
    bias: float | None = None

    @property
    def is_exclusive(self) -> bool:
        """Whether a patch has one class, so that probabilities sum to 1."""
        return self.bias is None

    def logits(self, cosines: Tensor) -> Tensor:
        """Cosines, any shape -> logits."""
        scaled = self.scale * cosines
        return scaled if self.bias is None else scaled + self.bias

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, K, ...) logits -> the same shape in [0, 1]."""
        return F.softmax(logits, dim=1) if self.bias is None else logits.sigmoid()
