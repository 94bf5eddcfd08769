# SPDX-License-Identifier: Apache-2.0
"""Talk2DINO (arXiv 2411.19331): DINOv2's patches compared with texts mapped into their space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .inputs import ClassTexts, MethodInputs

BACKGROUND = 0.55  # score of the background in the authors' evaluation, unless `delta` is given
_LAMBDA = 0.2  # how much the cleaning counts, in their evaluation


def talk2dino(inputs: MethodInputs) -> Tensor:
    """Sigmoids of the cosines, (B, K, h, w); the background's class gets `delta` everywhere."""
    cosines = torch.einsum(
        "bdhw,pd->bphw", F.normalize(inputs.features.float(), dim=1), inputs.vocabulary.embeddings
    )
    scores, vocabulary = torch.sigmoid(cosines), inputs.vocabulary
    background = vocabulary.background
    if background is None or not inputs.options.filter_background:
        return vocabulary.best_of_phrases(scores)
    others = cleaned(scores, inputs, _of_background(vocabulary))
    if isinstance(background, Tensor):  # an exported graph learns only now whether there is one
        others = torch.where(background.amax() > 0.5, others, scores)
    classes = vocabulary.best_of_phrases(others)
    constant = torch.full_like(classes[:, :1], inputs.options.delta)
    # A comparison with a constant would hide that a score is not finite.
    constant = constant + 0.0 * classes.sum(dim=1, keepdim=True)
    if isinstance(background, Tensor):
        return torch.where(background.view(1, -1, 1, 1) > 0.5, constant, classes)
    before, behind = classes[:, :background], classes[:, background + 1 :]
    return torch.cat([before, constant, behind], dim=1)


def _of_background(vocabulary: ClassTexts) -> Tensor:
    """(P,) bool: the phrases of the background."""
    background = vocabulary.background
    assert background is not None, "else there is nothing to clean"
    if isinstance(background, Tensor):  # an exported graph's
        return background.index_select(0, vocabulary.phrase_class) > 0.5
    return vocabulary.phrase_class.eq(background)


def cleaned(scores: Tensor, inputs: MethodInputs, background: Tensor) -> Tensor:
    """Background cleaning (section 3.4), as released: objects are where CLS attends for them.

    Each head of the last block's attention has a mean of the patches, weighed by what CLS asks of
    them. The heads whose means are like a text make that text's map of the image, which is brought
    to the range of the scores and averaged with them.

    Args:
        scores: (B, P, h, w) sigmoids of the cosines.
        inputs: with `cls_scores`.
        background: (P,) bool, phrases that take no part.

    Returns:
        (B, P, h, w); those of the background are of no use.
    """
    asked = inputs.from_backbone.cls_scores
    assert asked is not None, "the method asks for them"
    features, texts = inputs.features.float().flatten(2), inputs.vocabulary.embeddings
    means = F.normalize(asked @ features.transpose(1, 2) / features.shape[2], dim=-1)
    shares = (texts @ means.transpose(1, 2)).softmax(dim=-1)  # (B, P, heads)
    maps = (shares @ asked).softmax(dim=-1)  # (B, P, N)
    flat, left_out = scores.flatten(2), background[None, :, None]
    lowest, highest = _range(maps, left_out)
    low, high = _range(flat, left_out)
    scaled = (maps - lowest) / highest * (high - low) + low
    return ((flat + _LAMBDA * scaled) / (1 + _LAMBDA)).reshape(scores.shape)


def _range(values: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest of each image's values (B, P, N): (B, 1, 1) each."""
    least = torch.where(left_out, torch.full_like(values, torch.inf), values)
    largest = torch.where(left_out, torch.full_like(values, -torch.inf), values)
    return least.amin(dim=(1, 2), keepdim=True), largest.amax(dim=(1, 2), keepdim=True)
