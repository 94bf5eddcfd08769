# SPDX-License-Identifier: Apache-2.0
"""How the text embeddings of different models are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer

from .templates import TEMPLATES

_VERSION = 3  # of how embeddings are computed here


def text_identity(clip: ClipModel, tokenizer: Tokenizer, digest: str) -> str:
    """A SHA-256 over everything that a text embedding depends on besides the text.

    That is every weight of the text tower, how they are used, what the tokenizer makes of the
    templates, and what computes: numbers of a GPU and of another PyTorch differ in their last
    digits.

    Args:
        clip: an OpenCLIP model; its weights are not looked at.
        tokenizer: open_clip's for it.
        digest: `weights_digest` of its text tower.
    """
    heads = [m.num_heads for m in clip.modules() if isinstance(m, nn.MultiheadAttention)]
    mask = getattr(clip, "attn_mask", None)
    embedding = clip.token_embedding.weight
    description = (
        _VERSION, torch.__version__, embedding.device.type, str(embedding.dtype), digest,
        tokenizer([template("wooden floor") for template in TEMPLATES]).tolist(),
        str(clip.transformer), heads, getattr(clip, "text_pool_type", None),
        None if mask is None else weights_digest({"attn_mask": mask}, ["attn_mask"]),
    )  # fmt: skip
    return hashlib.sha256(repr(description).encode()).hexdigest()


def text_names(state: Iterable[str]) -> list[str]:
    """Of the names of CLIP's weights, those that text embeddings depend on."""
    return [name for name in state if not name.startswith(("visual.", "logit_"))]


def weights_digest(state: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """A SHA-256 over some tensors and their names (250 MB of ViT-B/16's text tower: 0.2 s)."""
    digest = hashlib.sha256()
    for name in sorted(names):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        plain = tensor.reshape(-1).view(torch.uint8)
        digest.update(plain.numpy().data)  # lets other threads run meanwhile
    return digest.hexdigest()
