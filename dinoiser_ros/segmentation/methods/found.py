# SPDX-License-Identifier: Apache-2.0
"""FOUND's seed step: an image's background without any label (arXiv 2212.07834, section 3.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIMILARITY = 0.3
_EPSILON = 1e-10


def head_weights(cls_attention: Tensor) -> Tensor:
    """How much each attention head counts: the fewer patches it attends to, the more.

    Args:
        cls_attention: (..., heads, N), what CLS pays to each patch in the last layer.

    Returns:
        (..., heads): log(sum of all Q / Q_h), Q_h the share of patches above the image's mean
        attention.
    """
    mean = cls_attention.flatten(-2).mean(dim=-1)[..., None, None]
    share = (cls_attention > mean).to(cls_attention.dtype).mean(dim=-1) + _EPSILON
    return torch.log(share.sum(dim=-1, keepdim=True) / share)


def background(cls_attention: Tensor, keys: Tensor, similarity: float = SIMILARITY) -> Tensor:
    """Patches that look like the one that attention cares for least.

    Args:
        cls_attention: (..., heads, N), softmax over patches and CLS, CLS's own entry left out.
        keys: (..., N, heads, d) of the same layer.
        similarity: cosine above which a patch is background.

    Returns:
        (..., N) bool, True on the background.
    """
    beta = head_weights(cls_attention)
    seed = (cls_attention * beta[..., None]).sum(dim=-2).argmin(dim=-1)
    described = F.normalize((keys * beta[..., None, :, None]).flatten(-2), dim=-1)
    index = seed[..., None, None].expand(*seed.shape, 1, described.shape[-1])
    cosine = (described * described.gather(-2, index)).sum(dim=-1)
    return cosine > similarity
