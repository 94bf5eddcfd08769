# SPDX-License-Identifier: Apache-2.0
"""CLIP's two towers as open_clip lays them out: the same names of weights, without a forward pass.

This package computes over weights (`vit`, `text.tower`), and the configs of plain vision
transformers need little of open_clip, whose import takes longer than all else before the first mask
(see `open_clip_parts`). Any other config is left to open_clip itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .open_clip_types import ClipModel, ResidualBlock, Transformer, VisionTower

# What the modules below understand, with open_clip's defaults.
_CONFIG = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
VISION_DEFAULTS = {
    "layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0, "patch_size": 16,
    "image_size": 224,
}  # fmt: skip
TEXT_DEFAULTS = {
    "layers": 12, "width": 512, "heads": 8, "mlp_ratio": 4.0, "context_length": 77,
    "vocab_size": 49408,
}  # fmt: skip
# What changes neither modules nor the names and shapes of weights: how an embedding of the whole
# image is pooled, and what the positions are before they are read from a file.
_VISION_CHOICES = {
    "pool_type": ("tok", "avg", "none"), "pos_embed_type": ("learnable", "sin_cos_2d"),
}  # fmt: skip


class PlainClip(ClipModel):
    """A CLIP of a vision and a text transformer; attributes as `open_clip.CLIP` has them.

    Args:
        config: the keyword arguments of `open_clip.CLIP`, see `is_plain_config`.
    """

    text_pool_type = "argmax"  # embeddings of texts are read at their end, the highest id

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        vision = VISION_DEFAULTS | config["vision_cfg"]
        text = TEXT_DEFAULTS | config["text_cfg"]
        gelu: Activation = QuickGELU if config.get("quick_gelu", False) else nn.GELU
        dim, width, context = config["embed_dim"], text["width"], text["context_length"]
        self.visual = VisionTransformer(vision, dim, gelu)
        self.transformer = PlainTransformer(text, text["heads"], gelu)
        self.context_length, self.vocab_size = context, text["vocab_size"]
        self.token_embedding = nn.Embedding(text["vocab_size"], width)
        self.positional_embedding = _random(context, width)
        self.ln_final = LayerNorm(width)
        self.text_projection = _random(width, dim)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        causal = torch.full((context, context), -torch.inf).triu_(1)
        self.register_buffer("attn_mask", causal, persistent=False)


Activation = Callable[[], nn.Module]


class VisionTransformer(VisionTower):
    """The vision tower: patches, CLS token, positions, blocks, projection."""

    attn_pool = None

    def __init__(self, config: dict[str, Any], dim: int, gelu: Activation) -> None:
        super().__init__()
        width, patch, size = config["width"], config["patch_size"], config["image_size"]
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.class_embedding = _random(width)
        self.positional_embedding = _random(1 + (size // patch) ** 2, width)
        self.ln_pre = LayerNorm(width)
        self.transformer = PlainTransformer(config, width // config["head_width"], gelu)
        self.ln_post = LayerNorm(width)
        self.proj = _random(width, dim)


class PlainTransformer(Transformer):
    """The blocks of a tower.

    Args:
        config: width, layers and mlp_ratio, beside others.
        heads: of the attention.
        gelu: makes the activation.
        eps: of the layer norms.
        scaled: whether what a block adds is scaled by learnt factors (LayerScale), as in DINOv2.
    """

    def __init__(
        self,
        config: dict[str, Any],
        heads: int,
        gelu: Activation,
        eps: float = 1e-5,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        width, hidden = config["width"], int(config["width"] * config["mlp_ratio"])
        self.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, heads, hidden, gelu, eps, scaled)
            for _ in range(config["layers"])
        )


class ResidualAttentionBlock(ResidualBlock):
    """A pre-norm block; `ls_1` and `ls_2` are where other models have a LayerScale."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        gelu: Activation,
        eps: float = 1e-5,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = LayerScale(width) if scaled else nn.Identity()
        self.ln_2 = LayerNorm(width, eps)
        layers = (nn.Linear(width, hidden), gelu(), nn.Linear(hidden, width))
        names = ("c_fc", "gelu", "c_proj")
        self.mlp = nn.Sequential(OrderedDict(zip(names, layers, strict=True)))
        self.ls_2 = LayerScale(width) if scaled else nn.Identity()


class LayerScale(nn.Module):
    """A learnt factor for each channel (arXiv 2103.17239, section 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        return x * self.gamma


class LayerNorm(nn.LayerNorm):
    """With results in the input's type also under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.LayerNorm`."""
        y = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return y.to(x.dtype)


class QuickGELU(nn.Module):
    """OpenAI's approximation of GELU, which its own weights were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """X * sigmoid(1.702 * x)."""
        return x * torch.sigmoid(1.702 * x)


def _random(*shape: int) -> nn.Parameter:
    parameter = nn.Parameter(torch.empty(shape))
    nn.init.normal_(parameter, std=0.02)
    return parameter


def is_plain_config(config: dict[str, Any]) -> bool:
    """Whether `PlainClip` is what open_clip would build; anything unusual or wrong is not."""
    vision = config.get("vision_cfg")
    if isinstance(vision, dict):
        vision = {
            key: value for key, value in vision.items() if value not in _VISION_CHOICES.get(key, ())
        }
    towers = ((vision, VISION_DEFAULTS), (config.get("text_cfg"), TEXT_DEFAULTS))
    return (
        config.keys() <= _CONFIG
        and _is_count(config.get("embed_dim"))
        and isinstance(config.get("quick_gelu", False), bool)
        and all(_is_plain_tower(given, known) for given, known in towers)
        and _divides(VISION_DEFAULTS | config["vision_cfg"], TEXT_DEFAULTS | config["text_cfg"])
    )


def _is_plain_tower(given: object, known: dict[str, Any]) -> bool:
    return (
        isinstance(given, dict)
        and given.keys() <= known.keys()
        and all(
            _is_count(value) or (key == "mlp_ratio" and isinstance(value, float) and value > 0)
            for key, value in given.items()
        )
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _divides(vision: dict[str, Any], text: dict[str, Any]) -> bool:
    """Whether heads are as wide as attention needs them to be, and patches fill the image."""
    heads = vision["width"] // vision["head_width"]
    return bool(
        heads > 0
        and vision["width"] % heads == 0
        and vision["image_size"] % vision["patch_size"] == 0
        and text["width"] % text["heads"] == 0
    )
