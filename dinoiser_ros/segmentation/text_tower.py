"""CLIP's text tower over its weights: what texts begin with alike is computed once.

Its attention only looks back, so what the tower makes of a token depends on the tokens before it
and on nothing behind it. Padding therefore need not be computed, and texts that begin alike ("a
photo of a ...") share what they begin with: together their tokens are a tree, in which each token
attends to those on its way to the root. CLIP's 80 templates around "wooden floor" are 482 tokens
so, instead of 80 x 77.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vit import qkv

_TOKENS_AT_ONCE = 2048  # the mask has as many rows and columns


@dataclass(frozen=True)
class TokenTree:
    """The tokens of several texts, M in all, those of a common beginning once.

    Attributes:
        tokens: (M,) int64 ids; a token comes after those that it attends to.
        places: (M,) int64, the how-manieth of its text each is.
        sees: (M, M) bool, the tokens that each one attends to: itself and those before it.
        ends: the end of each text, as an index of the tokens.
    """

    tokens: Tensor
    places: Tensor
    sees: Tensor
    ends: Tensor


def token_tree(texts: Sequence[Sequence[int]]) -> TokenTree:
    """Put texts, each a sequence of token ids, into one tree."""
    found: dict[tuple[int, int], int] = {}  # (what it follows, id) -> index
    parents, places, ends = [], [], []
    for text in texts:
        node = -1
        for place, token in enumerate(text):
            key = (node, token)
            if key not in found:
                found[key] = len(found)
                parents.append(node)
                places.append(place)
            node = found[key]
        ends.append(node)
    sees = np.eye(len(found), dtype=bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] |= sees[parent]
    tokens = [token for _, token in found]
    return TokenTree(
        torch.tensor(tokens), torch.tensor(places), torch.from_numpy(sees), torch.tensor(ends)
    )


class TextTower:
    """What `encode_text` computes, in less time.

    Args:
        clip: an OpenCLIP model in evaluation mode. One whose text tower is not CLIP's own (see
            `is_plain`) is used through its `encode_text`.
    """

    def __init__(self, clip: nn.Module) -> None:
        self._clip = clip
        self._plain = is_plain(clip)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._clip.token_embedding.weight.device

    @torch.no_grad()
    def __call__(self, tokens: Tensor) -> Tensor:
        """Embed texts.

        Args:
            tokens: (T, context) int64 ids on the CPU, as open_clip's tokenizer gives them.

        Returns:
            (T, d) float32, not normalised.
        """
        if not self._plain:
            return self._clip.encode_text(tokens.to(self.device)).float()
        # As CLIP has it, the end of a text is the highest id in it; `encode_text` reads it there.
        lengths = (tokens.argmax(dim=1) + 1).tolist()
        texts = [row[:n] for row, n in zip(tokens.tolist(), lengths, strict=True)]
        step = max(1, _TOKENS_AT_ONCE // max(lengths))
        parts = (texts[start : start + step] for start in range(0, len(texts), step))
        return torch.cat([self._encode(token_tree(part)) for part in parts])

    def _encode(self, tree: TokenTree) -> Tensor:
        """(T, d): the texts of one tree."""
        clip, device = self._clip, self.device
        x = clip.token_embedding(tree.tokens.to(device))
        x = (x + clip.positional_embedding[tree.places.to(device)]).unsqueeze(0)
        sees = tree.sees.to(device)
        for block in clip.transformer.resblocks:
            x = _run_block(block, x, sees)
        x = clip.ln_final(x[0, tree.ends.to(device)])
        projection = clip.text_projection
        if isinstance(projection, nn.Linear):
            return projection(x).float()
        return (x if projection is None else x @ projection).float()


def _run_block(block: nn.Module, x: Tensor, sees: Tensor) -> Tensor:
    """One residual block on x (1, M, width), each token attending to what it sees (M, M)."""
    q, k, v = qkv(block, x)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)
    x = x + block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def is_plain(clip: nn.Module) -> bool:
    """Whether the text tower is the one written here: causal, read at the end of the text."""
    mask = getattr(clip, "attn_mask", None)
    if getattr(clip, "text_pool_type", None) != "argmax" or not isinstance(mask, Tensor):
        return False
    causal = torch.full_like(mask, -torch.inf).triu_(1)
    return torch.equal(mask, causal) and all(map(_is_plain_block, clip.transformer.resblocks))


def _is_plain_block(block: nn.Module) -> bool:
    attention = getattr(block, "attn", None)
    return (
        type(block).__name__ == "ResidualAttentionBlock"
        and isinstance(attention, nn.MultiheadAttention)
        and attention.in_proj_weight is not None
        and not hasattr(block, "ln_1_kv")
    )
