# SPDX-License-Identifier: Apache-2.0
"""CLIP-DINOiser (arXiv 2312.12359) and the variants of its ablation."""

from __future__ import annotations

from torch import Tensor

from . import found
from .background import assign_background, filter_background
from .classification import classify
from .inputs import MethodInputs
from .pooling import guided_pooling


def dinoiser(inputs: MethodInputs) -> Tensor:
    """CLIP-DINOiser: pooling weights from head g; (B, K, h, w)."""
    return _classified(inputs, pooled_by_heads(inputs))


def dinoiser_dino(inputs: MethodInputs) -> Tensor:
    """Pooling weights from the value embeddings of DINO, which head g learns to foresee."""
    return _classified(inputs, pooled_by_dino(inputs))


def dinoiser_keys(inputs: MethodInputs) -> Tensor:
    """Pooling weights from CLIP's own keys."""
    return _classified(inputs, pooled_by_keys(inputs))


def pooled_by_heads(inputs: MethodInputs) -> Tensor:
    """Pooled features (B, d, h, w) of `dinoiser`."""
    return _pooled(inputs, inputs.heads.embeddings(inputs.intermediate_map))


def pooled_by_dino(inputs: MethodInputs) -> Tensor:
    """Pooled features (B, d, h, w) of `dinoiser_dino`."""
    return _pooled(inputs, inputs.dino.values)


def pooled_by_keys(inputs: MethodInputs) -> Tensor:
    """Pooled features (B, d, h, w) of `dinoiser_keys`."""
    return _pooled(inputs, inputs.keys.float())


def dinoiser_keys_predictions(inputs: MethodInputs) -> Tensor:
    """The same weights, but predictions are pooled instead of features."""
    predictions = classify(inputs.features, inputs.vocabulary, inputs.similarity)
    pooled = guided_pooling(predictions, inputs.keys.float(), inputs.options.gamma)
    return _filtered(inputs, pooled)


def _pooled(inputs: MethodInputs, embeddings: Tensor) -> Tensor:
    """Guided pooling by these embeddings (B, N, D): (B, d, h, w)."""
    return guided_pooling(inputs.features, embeddings, inputs.options.gamma)


def _classified(inputs: MethodInputs, pooled: Tensor) -> Tensor:
    """Text and background on pooled features: (B, K, h, w)."""
    return _filtered(inputs, classify(pooled, inputs.vocabulary, inputs.similarity))


def _filtered(inputs: MethodInputs, probabilities: Tensor) -> Tensor:
    """The background filter, if it is on and there is a class for it: (B, K, h, w)."""
    background, options = inputs.vocabulary.background, inputs.options
    if background is None or not options.filter_background:
        return probabilities
    delta = options.delta if options.background_uncertainty else None
    if options.background_source == "found":
        mask = found.background(inputs.dino.cls_attention, inputs.dino.keys)
        mask = mask.unflatten(-1, inputs.grid)
        # A comparison hides what is not finite: it has to be seen in the result.
        compared = inputs.dino.keys.sum(dim=(-2, -1)) + inputs.dino.cls_attention.sum(dim=-2)
        probabilities = probabilities + 0.0 * compared.unflatten(-1, inputs.grid)[:, None]
        return assign_background(probabilities, mask, background, delta)
    objectness = inputs.heads.objectness(inputs.intermediate_map)
    return filter_background(probabilities, objectness, background, delta)
