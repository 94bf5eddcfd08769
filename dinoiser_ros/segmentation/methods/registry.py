# SPDX-License-Identifier: Apache-2.0
"""The segmentation methods: each is a few lines of data flow over the parts beside this file.

A method takes one batch as a `Frame` and gives (B, K, h, w) probabilities. Adding one means writing
such a function and naming it in `METHODS`, with what it asks of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.clip_backbone import Request
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads

from . import found
from .background import assign_background, filter_background
from .classification import class_logits, classify, prompt_denoising
from .cliper import fuse_layers, fusion_weight, layer_features, layer_probabilities
from .compensation import compensate_batch
from .inputs import Frame
from .pooling import guided_pooling, key_smoothing

# What the background filter can go by, and the part that each of them needs.
BACKGROUND_SOURCES = {"objectness": "heads", "found": "dino"}

# Parts that make up a model: a method that lacks one needs another model. Why, for people.
MODEL_PARTS = {
    "backbone": "needs a CLIP, and this model is a checkpoint of maskclip+",
    "network": "needs a checkpoint that `dinoiser train-maskclip-plus` wrote as its model",
}


# -- MaskCLIP (arXiv 2112.01071) -----------------------------------------------------------------


def maskclip(frame: Frame, *, denoise: bool = False, smooth: bool = False) -> Tensor:
    """MaskCLIP, with prompt denoising and key smoothing if wanted: (B, K, h, w)."""
    logits = class_logits(frame.dense.features, frame.vocabulary)
    if denoise:
        logits = prompt_denoising(logits, frame.options.pd_threshold)
    probabilities = F.softmax(logits, dim=1)
    if smooth:
        return key_smoothing(probabilities, frame.dense.keys, frame.options.ks_threshold)
    return probabilities


# -- CLIP-DINOiser (arXiv 2312.12359) and its ablation -------------------------------------------


def dinoiser(frame: Frame) -> Tensor:
    """CLIP-DINOiser: pooling weights from head g; (B, K, h, w)."""
    embeddings = _heads(frame).embeddings(frame.dense.intermediate_map)
    return _pool_and_classify(frame, embeddings)


def dinoiser_dino(frame: Frame) -> Tensor:
    """Pooling weights from the value embeddings of DINO, which head g learns to foresee."""
    return _pool_and_classify(frame, frame.dino.values)


def dinoiser_keys(frame: Frame) -> Tensor:
    """Pooling weights from CLIP's own keys."""
    return _pool_and_classify(frame, frame.dense.keys.float())


def dinoiser_keys_predictions(frame: Frame) -> Tensor:
    """The same weights, but predictions are pooled instead of features."""
    predictions = classify(frame.dense.features, frame.vocabulary)
    pooled = guided_pooling(predictions, frame.dense.keys.float(), frame.options.gamma)
    return _filtered(frame, pooled)


def _pool_and_classify(frame: Frame, embeddings: Tensor) -> Tensor:
    """Guided pooling by these embeddings (B, N, D), text, background: (B, K, h, w)."""
    pooled = guided_pooling(frame.dense.features, embeddings, frame.options.gamma)
    return _filtered(frame, classify(pooled, frame.vocabulary))


def _filtered(frame: Frame, probabilities: Tensor) -> Tensor:
    """The background filter, if it is on and there is a class for it: (B, K, h, w)."""
    background, options = frame.vocabulary.background, frame.options
    if background is None or not options.filter_background:
        return probabilities
    delta = options.delta if options.background_uncertainty else None
    if options.background_source == "found":
        mask = found.background(frame.dino.cls_attention, frame.dino.keys)
        mask = mask.unflatten(-1, frame.dense.grid)
        return assign_background(probabilities, mask, background, delta)
    objectness = _heads(frame).objectness(frame.dense.intermediate_map)
    return filter_background(probabilities, objectness, background, delta)


def _heads(frame: Frame) -> DinoiserHeads:
    assert frame.parts.heads is not None, "Segmenter gives the method its heads"
    return frame.parts.heads


# -- CLIPer (arXiv 2411.13836) -------------------------------------------------------------------


def cliper(frame: Frame) -> Tensor:
    """CLIPer without compensation: its scores as averages of probabilities, (B, K, h, w)."""
    scores = _cliper_scores(frame)
    return scores[:, :-1] / scores[:, -1:]


def cliper_diffusion(frame: Frame) -> Tensor:
    """CLIPer with fine-grained compensation: (B, K, S, S), a grid over the image itself."""
    diffusion, images = frame.parts.diffusion, frame.images
    assert diffusion is not None, "Segmenter gives the method its diffusion model"
    maps = diffusion.attention_maps(images)
    patch, thr = frame.parts.backbone.patch_size, frame.options.attention_thr
    scores = compensate_batch(_cliper_scores(frame), maps, thr, patch, images.shape[-2:])
    # Where no attention is left there is no score either.
    return scores[:, :-1] / scores[:, -1:].clamp(min=torch.finfo(scores.dtype).tiny)


def _cliper_scores(frame: Frame) -> Tensor:
    """(B, K + 1, h, w): the classes' scores, and last what they are to be divided by."""
    features, attention = layer_features(frame.parts.backbone, frame.dense)
    probabilities = layer_probabilities(features[:, :, 1:], frame.vocabulary)
    fused = fuse_layers(probabilities, attention, frame.options.attention_thr)
    scores = torch.cat([fused, fusion_weight(attention)], dim=1)
    return scores.unflatten(-1, frame.dense.grid)


# -- MaskCLIP+ (arXiv 2112.01071, section 3.3) ---------------------------------------------------


def maskclip_plus(frame: Frame) -> Tensor:
    """A network that was trained for these classes, CLIP's text its classifier: (B, K, h, w)."""
    network = frame.parts.network
    assert network is not None, "Segmenter gives the method its network"
    return classify(network(frame.images), frame.vocabulary)


# -- by name -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MethodEntry:
    """A method and what it cannot do without.

    Attributes:
        function: from a frame to (B, K, h, w) probabilities.
        request: what it asks of the backbone's forward pass; None if it uses no CLIP.
        needs: the other parts that it uses: "heads", "dino", "diffusion", "network".
        filters_background: whether the background filter applies to it.
        on_patches: whether the result lies on the patch grid, or else on one over the image.
    """

    function: Callable[[Frame], Tensor]
    request: Request | None = Request(intermediate=False)
    needs: frozenset[str] = frozenset()
    filters_background: bool = False
    on_patches: bool = True


def _pooling_method(
    function: Callable[[Frame], Tensor], *needs: str, keys: bool = False
) -> MethodEntry:
    # The intermediate features are for the filter; they lie on the way and cost nothing.
    return MethodEntry(function, Request(keys=keys), frozenset(needs), filters_background=True)


_KEYS = Request(intermediate=False, keys=True)
_LAYERS = Request(
    features=False, intermediate=False, attention=True, layers=True, positions="bilinear"
)

METHODS: dict[str, MethodEntry] = {
    "dinoiser": _pooling_method(dinoiser, "heads"),
    "dinoiser-dino": _pooling_method(dinoiser_dino, "dino"),
    "dinoiser-keys": _pooling_method(dinoiser_keys, keys=True),
    "dinoiser-keys-predictions": _pooling_method(dinoiser_keys_predictions, keys=True),
    "maskclip": MethodEntry(maskclip),
    "maskclip-ks": MethodEntry(partial(maskclip, smooth=True), _KEYS),
    "maskclip-pd": MethodEntry(partial(maskclip, denoise=True)),
    "maskclip-ks-pd": MethodEntry(partial(maskclip, smooth=True, denoise=True), _KEYS),
    "cliper": MethodEntry(cliper, _LAYERS),
    "cliper-diffusion": MethodEntry(
        cliper_diffusion, _LAYERS, frozenset({"diffusion"}), on_patches=False
    ),
    "maskclip+": MethodEntry(maskclip_plus, None, frozenset({"network"}), on_patches=False),
}
