# SPDX-License-Identifier: Apache-2.0
"""Background filtering (CLIP-DINOiser, arXiv 2312.12359, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor


def filter_background(
    probabilities: Tensor, objectness: Tensor, background: int | Tensor, delta: float | None
) -> Tensor:
    """Give patches that are uncertain and do not look like an object to the background.

    Args:
        probabilities: (B, K, h, w) softmax over the classes.
        objectness: (B, 1, h, w) logits of head h.
        background: see `assign_background`.
        delta: a patch whose highest probability is below it is uncertain (0 to 1); None: all are.

    Returns:
        (B, K, h, w): a copy in which the patches that are uncertain and whose sigmoid(objectness)
        is at most 0.5 have probability 1 for the background; their other entries stay, as in the
        authors' code. A logit that is not finite makes the patch's probabilities NaN.
    """
    probabilities = probabilities + 0.0 * objectness  # a comparison would hide that it is NaN
    no_object = torch.sigmoid(objectness[:, 0]) <= 0.5
    return assign_background(probabilities, no_object, background, delta)


def assign_background(
    probabilities: Tensor, mask: Tensor, background: int | Tensor, delta: float | None
) -> Tensor:
    """Give the patches of a mask to the background.

    Args:
        probabilities: (B, K, h, w) softmax over the classes.
        mask: (B, h, w) bool, True where there may be background.
        background: index of the background class; or, where that is only known when an exported
            graph runs, (K,) float, 1 for the background and 0 for the others.
        delta: only patches whose highest probability is below it (0 to 1); None: all.

    Returns:
        (B, K, h, w): a copy in which these patches have probability 1 for the background; their
        other entries stay.
    """
    if delta is not None:
        mask = mask & (probabilities.amax(dim=1) < delta)
    if isinstance(background, Tensor):
        given = mask[:, None] & (background.view(1, -1, 1, 1) > 0.5)
        return torch.where(given, torch.ones_like(probabilities), probabilities)
    filtered = probabilities.clone()
    filtered[:, background].masked_fill_(mask, 1.0)
    return filtered
