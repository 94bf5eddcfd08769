# SPDX-License-Identifier: Apache-2.0
"""CLIP's text tower over its weights: common beginnings of texts are computed once.

Its attention only looks back, so its output for a token depends on the tokens up to it and on none
after it. Padding therefore need not be computed, and texts that begin alike ("a photo of a ...")
share their beginnings: together their tokens are a tree, in which each token
attends to those on its way to the root. Beginnings are kept from one call to the next.
CLIP's 80 templates around "wooden floor" thus take 328 tokens instead of 80 x 77.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.blocks import queries_keys_values
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Layer, residual_blocks
from dinoiser_ros.segmentation.networks.vit import attention_step, mlp_step

_TOKENS_AT_ONCE = 2048  # the mask has as many rows and columns

KeysAndValues = tuple[Tensor, Tensor]  # (1, heads, M, width / heads) each


@dataclass(frozen=True)
class TokenTree:
    """The tokens of several texts, M in all, those of a common beginning once.

    Attributes:
        tokens: (M,) int64 ids; a token comes after those that it attends to.
        places: (M,) int64, each one's position in its text, from 0.
        sees: (M, M) bool, the tokens that each one attends to: itself and those before it.
        ends: the end of each text, as an index of the tokens.
        known: how many tokens, the first ones, belong to the beginnings.
    """

    tokens: Tensor
    places: Tensor
    sees: Tensor
    ends: Tensor
    known: int = 0


def token_tree(
    texts: Sequence[Sequence[int]], beginnings: Sequence[Sequence[int]] = ()
) -> TokenTree:
    """Put texts, each a sequence of token ids, into one tree, what they may begin with first."""
    found: dict[tuple[int, int], int] = {}  # (what it follows, id) -> index
    parents, places, ends, known = [], [], [], 0
    for number, text in enumerate((*beginnings, *texts)):
        if number == len(beginnings):
            known = len(found)
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
        torch.tensor(tokens), torch.tensor(places), torch.from_numpy(sees),
        torch.tensor(ends[len(beginnings) :]), known,
    )  # fmt: skip


class TextTower:
    """What `encode_text` computes, in less time.

    Args:
        clip: an OpenCLIP model in evaluation mode. One whose text tower is not CLIP's own (see
            `is_plain`) is used through its `encode_text`.
        beginnings: token ids that texts often begin with; what they need is computed once.
    """

    def __init__(self, clip: ClipModel, beginnings: Sequence[Sequence[int]] = ()) -> None:
        self._clip = clip
        self._plain = is_plain(clip)
        self._beginnings = beginnings

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
            # What only open_clip itself builds has this method, see `models.building`.
            encode_text = cast("Layer", self._clip.encode_text)
            return encode_text(tokens.to(self.device)).float()
        # As CLIP has it, the end of a text is the highest id in it; `encode_text` reads it there.
        lengths = (tokens.argmax(dim=1) + 1).tolist()
        texts = [row[:n] for row, n in zip(tokens.tolist(), lengths, strict=True)]
        step = max(1, _TOKENS_AT_ONCE // max(lengths))
        parts = (texts[start : start + step] for start in range(0, len(texts), step))
        return torch.cat([self._encode(token_tree(part, self._beginnings)) for part in parts])

    def _encode(self, tree: TokenTree) -> Tensor:
        """(T, d): the texts of one tree."""
        clip = self._clip
        before, known = self._known if tree.known else (None, [])
        x, _ = self._run(tree, known)
        x = x if before is None else torch.cat([before, x], dim=1)
        x = clip.ln_final(x[0, tree.ends.to(self.device)])
        projection = clip.text_projection
        if isinstance(projection, nn.Linear):
            projected: Tensor = projection(x)
            return projected.float()
        return (x if projection is None else x @ projection).float()

    @cached_property
    def _known(self) -> tuple[Tensor, list[KeysAndValues]]:
        """What `_run` gives for the beginnings."""
        return self._run(token_tree(self._beginnings), [])

    def _run(
        self, tree: TokenTree, known: list[KeysAndValues]
    ) -> tuple[Tensor, list[KeysAndValues]]:
        """Run all blocks for the tokens that are not known.

        Returns:
            What the last block gives for these (1, M - known, width), and the keys and values of
            all tokens in each block.
        """
        clip, device = self._clip, self.device
        x = clip.token_embedding(tree.tokens[tree.known :].to(device))
        x = (x + clip.positional_embedding[tree.places[tree.known :].to(device)]).unsqueeze(0)
        blind = ~tree.sees[tree.known :].to(device)
        used = []
        for index, block in enumerate(residual_blocks(clip.transformer)):
            attention = _TreeAttention(block.attn, blind, known[index] if tree.known else None)
            x, _ = attention_step(block, attention, x)
            x, _ = mlp_step(block, block.mlp, x)
            used.append((attention.keys, attention.values))
        return x, used


class _TreeAttention:
    """Attention of the tokens of a tree, in one block.

    Args:
        blind: (M - known, M) bool, what each token does not attend to.
        known: keys and values of the tokens that are known.

    Attributes:
        keys, values: (1, heads, M, width / heads) of all tokens, after the call.
    """

    keys: Tensor
    values: Tensor

    def __init__(
        self, attn: nn.MultiheadAttention, blind: Tensor, known: KeysAndValues | None
    ) -> None:
        self._attn, self._blind, self._known = attn, blind, known

    def __call__(self, x: Tensor) -> Tensor:
        """(1, M - known, width) -> the same shape."""
        q, k, v = queries_keys_values(self._attn, x)
        if self._known is not None:
            k, v = torch.cat([self._known[0], k], dim=2), torch.cat([self._known[1], v], dim=2)
        self.keys, self.values = k, v
        # Written out: PyTorch's kernels are made for more tokens, and for masks with less in them.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        mixed = scores.masked_fill_(self._blind, -torch.inf).softmax(dim=-1) @ v
        out: Tensor = self._attn.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


def is_plain(clip: ClipModel) -> bool:
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
