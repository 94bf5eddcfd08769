# SPDX-License-Identifier: Apache-2.0
"""MaskCLIP (arXiv 2112.01071) with its refinements of section 3.2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .classification import class_logits, prompt_denoising
from .inputs import MethodInputs
from .pooling import key_smoothing


def maskclip(inputs: MethodInputs, *, denoise: bool = False, smooth: bool = False) -> Tensor:
    """MaskCLIP, with prompt denoising and key smoothing if wanted: (B, K, h, w)."""
    logits = class_logits(inputs.features, inputs.vocabulary)
    if denoise:
        logits = prompt_denoising(logits, inputs.options.pd_threshold)
    probabilities = F.softmax(logits, dim=1)
    if smooth:
        return key_smoothing(probabilities, inputs.keys, inputs.options.ks_threshold)
    return probabilities
