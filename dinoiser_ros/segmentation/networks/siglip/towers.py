# SPDX-License-Identifier: Apache-2.0
"""SigLIP's two towers, with the names of weights that OpenCLIP has for a CLIP.

What differs from CLIP: patches have a bias and no CLS token; attention pooling (the MAP head of
arXiv 2106.04560) gives an image's embedding; texts are read without a causal mask, padding
included, at their last token; and a bias is learnt beside the logit scale.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.blocks import PlainBlock
from dinoiser_ros.segmentation.networks.open_clip_types import (
    ClipModel,
    VisionTower,
    residual_blocks,
)
from dinoiser_ros.segmentation.networks.plain_clip import Activation, LayerNorm, PlainTransformer
from dinoiser_ros.segmentation.networks.vit import run_block

EPSILON = 1e-6  # of all layer norms


class SiglipTower(VisionTower):
    """The vision tower.

    Args:
        config: width, layers, head_width, mlp_ratio, patch_size and image_size.
        gelu: makes the activation.

    Attributes:
        positional_embedding: (1, n * n, width), as the files have it.
        attn_pool: the head.
    """

    def __init__(self, config: dict[str, Any], gelu: Activation) -> None:
        super().__init__()
        width, patch, size = config["width"], config["patch_size"], config["image_size"]
        heads, hidden = width // config["head_width"], int(width * config["mlp_ratio"])
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.positional_embedding = nn.Parameter(torch.empty(1, (size // patch) ** 2, width))
        nn.init.normal_(self.positional_embedding, std=0.02)
        self.transformer = PlainTransformer(config, heads, gelu, EPSILON)
        self.ln_post = LayerNorm(width, EPSILON)
        self.attn_pool = MapHead(width, heads, hidden, gelu)


class MapHead(nn.Module):
    """Attention pooling by one learnt query, and an MLP with a residual behind it."""

    def __init__(self, width: int, heads: int, hidden: int, gelu: Activation) -> None:
        super().__init__()
        self.heads = heads
        self.latent = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.latent, std=0.02)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm = LayerNorm(width, EPSILON)
        layers = (nn.Linear(width, hidden), gelu(), nn.Linear(hidden, width))
        self.mlp = nn.Sequential(OrderedDict(zip(("fc1", "act", "fc2"), layers, strict=True)))

    def keys(self, x: Tensor) -> Tensor:
        """(B, N, width) -> the same shape, heads beside each other."""
        keys: Tensor = self.kv(x)[..., : x.shape[-1]]
        return keys

    def values(self, x: Tensor) -> Tensor:
        """(B, N, width) -> the same shape, heads beside each other."""
        values: Tensor = self.kv(x)[..., x.shape[-1] :]
        return values

    def embed(self, mixed: Tensor) -> Tensor:
        """What attention gives (B, M, width) -> embeddings of the same shape."""
        x = self.proj(mixed)
        y: Tensor = x + self.mlp(self.norm(x))
        return y


class SiglipModel(ClipModel):
    """A SigLIP; attributes as `open_clip.CLIP` has them.

    Args:
        config: "embed_dim", "vision_cfg", "text_cfg", all sizes spelt out (see `sizes`).
    """

    text_pool_type = "last"
    attn_mask = None

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        vision, text = config["vision_cfg"], config["text_cfg"]
        width, context = text["width"], text["context_length"]
        self.visual = SiglipTower(vision, activation(vision))
        self.transformer = PlainTransformer(text, text["heads"], activation(text), EPSILON)
        self.context_length, self.vocab_size = context, text["vocab_size"]
        self.token_embedding = nn.Embedding(text["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        nn.init.normal_(self.positional_embedding, std=0.01)
        self.ln_final = LayerNorm(width, EPSILON)
        self.text_projection = nn.Linear(width, config["embed_dim"])
        self.logit_scale = nn.Parameter(torch.tensor(10.0).log())
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(T, context) int64 ids, padded -> (T, d), not normalised."""
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        for block in residual_blocks(self.transformer):
            x = run_block(block, x, PlainBlock(block))
        projection = cast("nn.Linear", self.text_projection)
        y: Tensor = projection(self.ln_final(x[:, -1]))
        return y


def activation(tower: dict[str, Any]) -> Activation:
    """The GELU of a tower: SigLIP 2's is approximated by a hyperbolic tangent."""
    return partial(nn.GELU, approximate=tower.get("approximate", "none"))
