# SPDX-License-Identifier: Apache-2.0
"""CLIPer (arXiv 2411.13836): its early-layer fusion (section 3.2), as the released code has it.

Every layer of the backbone gives a segmentation of its own, since each output goes through the same
last block, whose attention is replaced by that of the blocks before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, DenseFeatures
from dinoiser_ros.segmentation.networks.similarity import Similarity
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary

from .compensation import compensate_batch
from .inputs import MethodInputs

_TINY = 1e-12  # keeps a row without any attention at 0 instead of 0 / 0


def balanced(attention: Tensor) -> Tensor:
    """Divide an attention map by its column sums and the result by its row sums; (..., T, T)."""
    attention = attention / attention.sum(dim=-2, keepdim=True)
    return attention / attention.sum(dim=-1, keepdim=True)


def cleaned(attention: Tensor) -> Tensor:
    """What is left of a balanced attention map where tokens attend to each other above average.

    Averaged with its transpose, each column's mean subtracted, negative entries set to 0.

    Args:
        attention: (..., T, T), see `balanced`.

    Returns:
        (..., T, T) in [0, 1], rows sum to 1 (to 0 where nothing is left).
    """
    attention = (attention + attention.transpose(-1, -2)) / 2
    attention = (attention - attention.mean(dim=-2, keepdim=True)).clamp(min=0.0)
    return attention / attention.sum(dim=-1, keepdim=True).clamp(min=_TINY)


def cleaned_rounds(attention: Tensor, rounds: int) -> Iterator[Tensor]:
    """The cleaned map after 1, 2, ... `rounds` balancings.

    The released code balances in place and once for each layer, so that every layer sees the map
    balanced once more than the layer before it did.
    """
    for _ in range(rounds):
        attention = balanced(attention)
        yield cleaned(attention)


def layer_features(backbone: Backbone, dense: DenseFeatures) -> tuple[Tensor, Tensor]:
    """One feature map for each layer, and the attention that the last of them was made with.

    Args:
        dense: with `attention` and `layers`.

    Returns:
        (B, L, T, d) features in CLIP's joint space, CLS first, not normalised; (B, N, N)
        float32: the last cleaned map without CLS, averaged over heads.
    """
    assert dense.layers is not None and dense.attention is not None, "the method asks for them"
    features = []
    for x, attention in zip(
        dense.layers, cleaned_rounds(dense.attention, len(dense.layers)), strict=True
    ):
        features.append(backbone.attend_last(x, attention))
    skip = backbone.prefix
    return torch.stack(features, dim=1), attention.mean(dim=1)[:, skip:, skip:]


def layer_probabilities(
    features: Tensor, vocabulary: Vocabulary, scale: float = Similarity.scale
) -> Tensor:
    """Compare each layer's features with the prompts.

    Softmax of 100 x cosine over the foreground classes, each phrase of the class "background", and
    one extra text: the mean of the foreground's embeddings. What the extra text gets belongs to
    nobody.

    Args:
        features: (B, L, N, d), any scale.
        vocabulary: a class scores as the best of its phrases; "background" gets the sum of its
            own.
        scale: of the cosines.

    Returns:
        (B, L, K, N) float32 in [0, 1]; classes sum to less than 1.
    """
    background = vocabulary.background
    if background is not None and len(vocabulary.classes) == 1:
        return features.new_ones((*features.shape[:2], 1, features.shape[2]), dtype=torch.float32)
    # Masks instead of selections, for whose size one would have to wait for the GPU.
    elsewhere = (vocabulary.phrase_class != (-1 if background is None else background))[:, None]
    extra = F.normalize((vocabulary.embeddings * elsewhere).sum(dim=0), dim=0)
    texts = torch.cat([vocabulary.embeddings, extra[None]])
    logits = scale * texts @ F.normalize(features.float(), dim=-1).transpose(-1, -2)
    phrases, last = logits[..., :-1, :], logits[..., -1:, :]
    classes = vocabulary.best_of_phrases(phrases.flatten(0, 1).unsqueeze(-1))
    classes = classes.squeeze(-1).unflatten(0, phrases.shape[:2])
    if background is not None:
        # A softmax over the phrases, summed for the background, is one over the log of its summed
        # exponentials.
        own = phrases.masked_fill(elsewhere, -torch.inf)
        classes[..., background, :] = own.logsumexp(dim=-2)
    return torch.cat([classes, last], dim=-2).softmax(dim=-2)[..., :-1, :]


def fuse_layers(probabilities: Tensor, attention: Tensor, attention_thr: float) -> Tensor:
    """Join the layers' segmentations.

    In the last one, entries below `attention_thr` times the class's maximum become 0. The result,
    spread by the attention, is added to the mean of all layers' (the last one as thresholded, as in
    the released code).

    Args:
        probabilities: (B, L, K, N) in [0, 1], the last layer's at the end.
        attention: (B, N, N), from `layer_features`.
        attention_thr: in [0, 1].

    Returns:
        (B, K, N) scores, at most `fusion_weight` of their position.
    """
    last = probabilities[:, -1]
    last = last.masked_fill(last < last.amax(dim=-1, keepdim=True) * attention_thr, 0.0)
    mean = (probabilities[:, :-1].sum(dim=1) + last) / probabilities.shape[1]
    return last @ attention + mean


def fusion_weight(attention: Tensor) -> Tensor:
    """What `fuse_layers` gives to a class that is certain everywhere: (B, 1, N), at least 1.

    Attention is normalised over the patches that attend and not over those that are attended to, so
    that scores may exceed 1. Divided by this they are averages of probabilities; as it is the same
    for all classes, no label changes.
    """
    return 1 + attention.sum(dim=-2, keepdim=True)


def cliper(inputs: MethodInputs) -> Tensor:
    """CLIPer without compensation: its scores as averages of probabilities, (B, K, h, w)."""
    scores = _cliper_scores(inputs)
    return scores[:, :-1] / scores[:, -1:]


def cliper_diffusion(inputs: MethodInputs) -> Tensor:
    """CLIPer with fine-grained compensation: (B, K, S, S), a grid over the image itself."""
    diffusion = inputs.parts.diffusion
    assert diffusion is not None, "Segmenter gives the method its diffusion model"
    maps = diffusion.attention_maps(inputs.images)
    patch, thr = inputs.backbone.patch_size, inputs.options.attention_thr
    height, width = inputs.images.shape[-2:]
    scores = compensate_batch(_cliper_scores(inputs), maps, thr, patch, (height, width))
    # Where no attention is left there is no score either.
    return scores[:, :-1] / scores[:, -1:].clamp(min=torch.finfo(scores.dtype).tiny)


def _cliper_scores(inputs: MethodInputs) -> Tensor:
    """(B, K + 1, h, w): the classes' scores, and last what they are to be divided by."""
    features, attention = layer_features(inputs.backbone, inputs.from_backbone)
    assert isinstance(inputs.vocabulary, Vocabulary), "CLIPer is not exported"
    patches = features[:, :, inputs.backbone.prefix :]
    probabilities = layer_probabilities(patches, inputs.vocabulary, inputs.similarity.scale)
    fused = fuse_layers(probabilities, attention, inputs.options.attention_thr)
    scores = torch.cat([fused, fusion_weight(attention)], dim=1)
    return scores.reshape(*scores.shape[:-1], *inputs.grid)
