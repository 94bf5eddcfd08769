"""The segmentation methods: each is a few lines of data flow over the parts beside this file.

A method takes the dense features of one batch and gives (B, K, h, w) probabilities on the patch
grid. Adding one means writing such a function and naming it in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .backbone import DenseFeatures
from .background import filter_background
from .heads import Heads
from .pooling import guided_pooling
from .vocabulary import Vocabulary

# CLIP's trained temperature (its logit scale is clipped at 100); the method fixes it there.
LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class MethodOptions:
    """What a method needs besides features and text.

    Attributes:
        gamma: pooling threshold in [0, 1].
        delta: certainty threshold of the background filter in [0, 1].
        filter_background: whether a background class, if there is one, gets the filter.
    """

    gamma: float
    delta: float
    filter_background: bool


def classify(features: Tensor, vocabulary: Vocabulary) -> Tensor:
    """Compare dense features with the prompts (MaskCLIP, arXiv 2112.01071, section 3.1).

    Args:
        features: (B, d, h, w), any scale.
        vocabulary: P phrases in K classes; a class scores as the best of its phrases.

    Returns:
        (B, K, h, w) float32: softmax over the classes of 100 x cosine similarity.
    """
    unit = F.normalize(features.float(), dim=1)
    logits = LOGIT_SCALE * torch.einsum("bdhw,pd->bphw", unit, vocabulary.embeddings)
    return F.softmax(vocabulary.best_of_phrases(logits), dim=1)


def maskclip(
    dense: DenseFeatures, heads: Heads | None, vocabulary: Vocabulary, options: MethodOptions
) -> Tensor:
    """MaskCLIP without refinement: (B, K, h, w) probabilities of the unpooled features."""
    return classify(dense.features, vocabulary)


def dinoiser(
    dense: DenseFeatures, heads: Heads | None, vocabulary: Vocabulary, options: MethodOptions
) -> Tensor:
    """CLIP-DINOiser: guided pooling by head g, background filtering by head h; (B, K, h, w)."""
    assert heads is not None, "Segmenter gives this method its heads"
    intermediate = dense.intermediate_map
    pooled = guided_pooling(dense.features, heads.correlations(intermediate), options.gamma)
    probabilities = classify(pooled, vocabulary)
    if vocabulary.background is None or not options.filter_background:
        return probabilities
    objectness = heads.objectness(intermediate)
    return filter_background(probabilities, objectness, vocabulary.background, options.delta)


Method = Callable[[DenseFeatures, "Heads | None", Vocabulary, MethodOptions], Tensor]


@dataclass(frozen=True)
class MethodEntry:
    """A method and what it cannot do without."""

    function: Method
    needs_heads: bool


METHODS: dict[str, MethodEntry] = {
    "dinoiser": MethodEntry(dinoiser, needs_heads=True),
    "maskclip": MethodEntry(maskclip, needs_heads=False),
}
