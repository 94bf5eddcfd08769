# SPDX-License-Identifier: Apache-2.0
"""DINO's own vision transformer (arXiv 2104.14294), as its checkpoints and timm name its weights.

Written out rather than taken from timm, so that a local checkpoint needs no further package. Only
what the teachers need is computed: the last attention layer.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.dino import LastLayer, split_last_layer
from dinoiser_ros.segmentation.weights.checkpoint import State, load_into

HEAD_WIDTH = 64  # of all of DINO's transformers; their checkpoints do not say it
_EPSILON = 1e-6  # of their layer norms


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, heads, T, d), of x (B, T, width)."""
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        y = F.scaled_dot_product_attention(*self.split(x))
        return self.proj(y.transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, _EPSILON)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, _EPSILON)
        self.mlp = _Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DinoViT(nn.Module):
    """A frozen DINO in DINO's own layout; see `dino_features.Dino`."""

    def __init__(
        self, width: int, depth: int, heads: int, hidden: int, patch_size: int, tokens: int
    ) -> None:
        super().__init__()
        self.patch_size, self.width = patch_size, width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch_size, patch_size)})
        self.blocks = nn.ModuleList(_Block(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, _EPSILON)  # unused here, but part of every checkpoint

    @torch.no_grad()
    def last_layer(self, images: Tensor) -> LastLayer:
        """See `dino_features.Dino`."""
        x = self.patch_embed["proj"](images)
        grid = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2) + self._positions(*grid).to(x.dtype)
        cls = (self.cls_token + self.pos_embed[:, :1]).to(x.dtype)
        x = torch.cat([cls.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks[:-1]:
            x = block(x)
        last = self.blocks[-1]
        return split_last_layer(*last.attn.split(last.norm1(x)), grid)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, rows * columns, width): the patches' positional embedding, resized as DINO does.

        DINO gives the bicubic resize a scale that is a tenth of a patch too large (its guard
        against rounding), and the scale, not the size, decides where is sampled.
        """
        side = math.isqrt(self.pos_embed.shape[1] - 1)
        if (rows, columns) == (side, side):
            return self.pos_embed[:, 1:]
        table = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)
        return F.interpolate(table, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)


def dino_from_state(state: State, source: str, heads: int | None = None) -> DinoViT:
    """Build a DINO from a state dict in the layout of DINO's checkpoints, which is timm's as well.

    Args:
        state: as `read_checkpoint` gives it; DINO's full checkpoints (`backbone.` in front of
            names, a projection head beside them) and classifiers are accepted, too.
        source: what to call it in an error message.
        heads: attention heads; None for width / 64.

    Raises:
        WeightsError: it is no such network.
    """
    prefix = "backbone."
    if any(name.startswith(prefix) for name in state):
        state = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
    state = {name: tensor.float() for name, tensor in state.items() if not name.startswith("head.")}
    advice = "give a checkpoint of DINO's vision transformers, such as dino_vitbase16_pretrain.pth"
    needed = {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}
    for name, dimensions in needed.items():
        if name not in state or state[name].dim() != dimensions:
            raise WeightsError(f"{source} lacks {name} of {dimensions} dimensions: {advice}.")
    (width, _, patch, _), (_, tokens, _), (hidden, _) = (state[name].shape for name in needed)
    if heads is None and width % HEAD_WIDTH:
        raise WeightsError(
            f"{source} has width {width}, no multiple of {HEAD_WIDTH} as in DINO: {advice}."
        )
    if math.isqrt(tokens - 1) ** 2 != tokens - 1:
        raise WeightsError(f"{source} has {tokens} positions, no square and CLS: {advice}.")
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    dino = DinoViT(width, depth, heads or width // HEAD_WIDTH, hidden, patch, tokens)
    load_into(dino, state, source)
    return dino.requires_grad_(False).eval()
