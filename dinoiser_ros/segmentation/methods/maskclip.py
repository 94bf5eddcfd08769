# SPDX-License-Identifier: Apache-2.0
"""MaskCLIP (arXiv 2112.01071) with its refinements of section 3.2."""

from __future__ import annotations

from torch import Tensor

from .classification import class_logits, prompt_denoising
from .inputs import MethodInputs
from .pooling import key_smoothing


def maskclip(inputs: MethodInputs, *, denoise: bool = False, smooth: bool = False) -> Tensor:
    """MaskCLIP, with prompt denoising and key smoothing if wanted: (B, K, h, w)."""
    similarity = inputs.similarity
    logits = class_logits(inputs.features, inputs.vocabulary, similarity)
    if denoise:
        logits = prompt_denoising(logits, inputs.options.pd_threshold, similarity)
    probabilities = similarity.probabilities(logits)
    if smooth:
        threshold, exclusive = inputs.options.ks_threshold, similarity.is_exclusive
        return key_smoothing(probabilities, inputs.keys, threshold, exclusive)
    return probabilities
