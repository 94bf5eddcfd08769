# SPDX-License-Identifier: Apache-2.0
"""Comparing dense features with text (MaskCLIP, arXiv 2112.01071, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.similarity import Similarity

from .inputs import ClassTexts

_CLIP = Similarity()
_DROPPED = -100.0


def class_logits(
    features: Tensor, vocabulary: ClassTexts, similarity: Similarity = _CLIP
) -> Tensor:
    """Compare dense features with the prompts (MaskCLIP, section 3.1).

    Args:
        features: (B, d, h, w), any scale.
        vocabulary: P phrases in K classes; a class scores as the best of its phrases.
        similarity: the model's.

    Returns:
        (B, K, h, w) float32: for CLIP 100 x cosine similarity.
    """
    unit = F.normalize(features.float(), dim=1)
    logits = similarity.logits(torch.einsum("bdhw,pd->bphw", unit, vocabulary.embeddings))
    return vocabulary.best_of_phrases(logits)


def classify(features: Tensor, vocabulary: ClassTexts, similarity: Similarity = _CLIP) -> Tensor:
    """(B, K, h, w) float32: the probabilities of `class_logits`."""
    return similarity.probabilities(class_logits(features, vocabulary, similarity))


def prompt_denoising(logits: Tensor, threshold: float, similarity: Similarity = _CLIP) -> Tensor:
    """Drop the classes of which no patch of the image is sure (MaskCLIP, section 3.2).

    An image in which no class reaches the threshold keeps all of them: without that, every patch
    would be given to the first.

    Args:
        logits: (B, K, h, w), see `class_logits`.
        threshold: a class whose probability stays below it everywhere is dropped (0 to 1).
        similarity: the model's.

    Returns:
        (B, K, h, w): a copy in which the dropped classes' logits are -100.
    """
    best = similarity.probabilities(logits).amax(dim=(-2, -1))
    dropped = best < threshold
    dropped = dropped & ~dropped.all(dim=1, keepdim=True)
    return logits.masked_fill(dropped[:, :, None, None], _DROPPED)
