"""What tells one model's text embeddings from another's."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from .open_clip_parts import TEMPLATES

_VERSION = 2  # of how embeddings are computed here


def text_identity(clip: nn.Module, tokenizer: object) -> str:
    """A SHA-256 over everything that a text embedding depends on besides the text.

    That is every weight of the text tower (250 MB of ViT-B/16, 0.2 s), how they are used, what the
    tokenizer makes of the templates, and what computes: numbers of a GPU and of another PyTorch
    differ in their last digits.

    Args:
        clip: an OpenCLIP model.
        tokenizer: open_clip's for it.
    """
    weights = {
        name: tensor
        for name, tensor in clip.state_dict().items()
        if not name.startswith(("visual.", "logit_"))
    }
    heads = [m.num_heads for m in clip.modules() if isinstance(m, nn.MultiheadAttention)]
    device = clip.token_embedding.weight.device
    description = (
        _VERSION, torch.__version__, device.type,
        tokenizer([template("wooden floor") for template in TEMPLATES]).tolist(),
        str(clip.transformer), heads, getattr(clip, "text_pool_type", None),
        [(name, str(tensor.dtype), tuple(tensor.shape)) for name, tensor in weights.items()],
    )  # fmt: skip
    digest = hashlib.sha256(repr(description).encode())
    mask = getattr(clip, "attn_mask", None)
    for tensor in (*weights.values(), *([] if mask is None else [mask])):
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy())  # lets other threads run meanwhile
    return digest.hexdigest()
