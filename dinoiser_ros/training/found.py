"""FOUND: where objects are, without any label (arXiv 2212.07834).

Two forms: the seed step (section 3.1), which needs nothing but DINO, and the trained 1x1 head
(section 3.2) on DINO's keys. Both give the foreground of a `LastLayer`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.segmentation.errors import WeightsError
from dinoiser_ros.training.dino_features import LastLayer

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


def seed_foreground(last: LastLayer) -> Tensor:
    """FOUND's first step as a teacher: (B, N) float, 1 where a patch is not background."""
    return 1.0 - background(last.cls_attention.float(), last.keys.float()).float()


class FoundHead(nn.Module):
    """FOUND's trained form: one 1x1 convolution on DINO's keys, heads concatenated."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        """Weight (1, D) and bias (1,) of the convolution."""
        super().__init__()
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", bias.float())

    @torch.no_grad()
    def forward(self, last: LastLayer) -> Tensor:
        """(B, N) float in [0, 1]: how likely a patch shows an object."""
        logits = F.linear(last.keys.flatten(2).float(), self.weight, self.bias)
        return logits[..., 0].sigmoid()


def found_head_from_state(state: dict[str, Tensor], width: int, source: str) -> FoundHead:
    """Build the trained head for a DINO of a width.

    Args:
        state: a (1, D, 1, 1) `weight` and a (1,) `bias`, with or without "decoder." in front.
        source: what to call it in an error message.

    Raises:
        WeightsError: it is no such head, or made for another DINO.
    """
    state = {name.removeprefix("decoder."): tensor for name, tensor in state.items()}
    weight, bias = state.get("weight"), state.get("bias")
    fits = weight is not None and weight.dim() == 4 and weight.shape == (1, weight.shape[1], 1, 1)
    if not fits or bias is None or bias.shape != (1,):
        raise WeightsError(
            f"{source} is not FOUND's head (a 1x1 convolution with one output): give its "
            "decoder_weights.pt."
        )
    if weight.shape[1] != width:
        raise WeightsError(
            f"{source} reads keys of width {weight.shape[1]}, this DINO's have {width}: give the "
            "DINO that it was trained on (FOUND's own: ViT-S/8)."
        )
    return FoundHead(weight.flatten(1), bias)
