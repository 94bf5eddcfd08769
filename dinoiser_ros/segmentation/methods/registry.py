# SPDX-License-Identifier: Apache-2.0
"""The methods by name, and what each needs.

A method is a function from one batch's `MethodInputs` to (B, K, h, w) probabilities. Adding one
means a file with such a function beside this one, a line in `METHODS`, and its name in
`option_schema.METHOD_NAMES`. The variants of CLIP-DINOiser share `dinoiser`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from torch import Tensor

from dinoiser_ros.segmentation.networks.clip_backbone import Request

from .cliper import cliper, cliper_diffusion
from .dinoiser import (
    dinoiser,
    dinoiser_dino,
    dinoiser_keys,
    dinoiser_keys_predictions,
    pooled_by_dino,
    pooled_by_heads,
    pooled_by_keys,
)
from .inputs import MethodInputs
from .maskclip import maskclip
from .maskclip_plus import maskclip_plus, network_features
from .talk2dino import BACKGROUND, talk2dino

# What the background filter can go by, and the part that each of them needs.
BACKGROUND_SOURCES = {"objectness": "heads", "found": "dino"}

# Parts that make up a model: a method that lacks one needs another model. Why, for people.
MODEL_PARTS = {
    "clip": "needs a CLIP, and this model is none",
    "talk2dino": "needs a model of Talk2DINO, such as talk2dino-b-14",
    "network": "needs a checkpoint that `dinoiser train-maskclip-plus` wrote as its model",
}


@dataclass(frozen=True)
class MethodEntry:
    """A method and what it cannot do without.

    Attributes:
        function: from a batch's `MethodInputs` to (B, K, h, w) probabilities.
        request: what it asks of the backbone's forward pass; None if it uses no CLIP.
        needs: the other parts that it uses: "heads", "dino", "diffusion", "network".
        filters_background: whether the background filter applies to it.
        delta: the filter's threshold, if the method brings a filter of its own, which needs no
            other part; else it is that of the heads.
        backbone: the kind of backbone that it computes with: "clip" or "talk2dino".
        on_patches: whether the result lies on the patch grid, or else on one over the image.
        features: the (B, d, h, w) that it compares with the text matrix, from inputs whose
            vocabulary it does not read; None: it compares others, so that no class of it can be
            given by examples.
    """

    function: Callable[[MethodInputs], Tensor]
    request: Request | None = Request(intermediate=False)
    needs: frozenset[str] = frozenset()
    filters_background: bool = False
    on_patches: bool = True
    delta: float | None = None
    backbone: str = "clip"
    features: Callable[[MethodInputs], Tensor] | None = None


_FEATURES = attrgetter("features")


def _pooling_method(
    function: Callable[[MethodInputs], Tensor],
    features: Callable[[MethodInputs], Tensor],
    *needs: str,
    keys: bool = False,
) -> MethodEntry:
    # The intermediate features are for the filter; they lie on the way and cost nothing.
    request, parts = Request(keys=keys), frozenset(needs)
    return MethodEntry(function, request, parts, filters_background=True, features=features)


_KEYS = Request(intermediate=False, keys=True)
_LAYERS = Request(
    features=False, intermediate=False, attention=True, layers=True, positions="bilinear"
)

METHODS: dict[str, MethodEntry] = {
    "dinoiser": _pooling_method(dinoiser, pooled_by_heads, "heads"),
    "dinoiser-dino": _pooling_method(dinoiser_dino, pooled_by_dino, "dino"),
    "dinoiser-keys": _pooling_method(dinoiser_keys, pooled_by_keys, keys=True),
    "dinoiser-keys-predictions": _pooling_method(dinoiser_keys_predictions, _FEATURES, keys=True),
    "maskclip": MethodEntry(maskclip, features=_FEATURES),
    "maskclip-ks": MethodEntry(partial(maskclip, smooth=True), _KEYS, features=_FEATURES),
    "maskclip-pd": MethodEntry(partial(maskclip, denoise=True), features=_FEATURES),
    "maskclip-ks-pd": MethodEntry(
        partial(maskclip, smooth=True, denoise=True), _KEYS, features=_FEATURES
    ),
    "cliper": MethodEntry(cliper, _LAYERS),
    "cliper-diffusion": MethodEntry(
        cliper_diffusion, _LAYERS, frozenset({"diffusion"}), on_patches=False
    ),
    "talk2dino": MethodEntry(
        talk2dino,
        Request(intermediate=False, cls_scores=True),
        filters_background=True,
        delta=BACKGROUND,
        backbone="talk2dino",
        features=_FEATURES,
    ),
    "maskclip+": MethodEntry(
        maskclip_plus, None, frozenset({"network"}), on_patches=False, features=network_features
    ),
}
