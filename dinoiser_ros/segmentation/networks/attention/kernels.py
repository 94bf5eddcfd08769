# SPDX-License-Identifier: Apache-2.0
"""Ways to compute scaled dot-product attention on a CPU, and which of them are candidates where.

Which is the fastest depends on the processor, the number of tokens and PyTorch: in bfloat16,
PyTorch's own kernel wins where the processor multiplies matrices as a whole (AMX), and one head at
a time elsewhere. `choice` measures them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.networks.blocks import attend, split_heads

# (B, T, 3 * width), queries, keys and values beside each other, and the number of heads ->
# (B, T, width).
Kernel = Callable[[Tensor, int], Tensor]

LONG = 2048  # tokens from which attention is most of the time of a small network

# Scores of one head that are computed at once (32 MB): all of them, up to 1 megapixel.
_SCORES = 1 << 24
_CACHED_SCORES = 1 << 20  # the same, for what stays in a core's cache


def candidates(dtype: torch.dtype, tokens: int, low: bool) -> dict[str, Kernel]:
    """The kernels to choose from, by name; the first is the usual one.

    Args:
        dtype: of queries, keys and values.
        tokens: T.
        low: whether attention over many tokens may be rounded to bfloat16.
    """
    in_parts = partial(attend_by_head, at_once=_CACHED_SCORES)
    if dtype == torch.bfloat16:
        return {
            "by head": attend_by_head,
            "by head, in parts": in_parts,
            "fused": attend,
            "fused, packed": attend_packed,
        }
    if low and dtype == torch.float32 and tokens >= LONG:
        return {
            "fused": attend,
            "fused, packed, in bfloat16": partial(_in_bfloat16, kernel=attend_packed),
            "by head, in parts, in bfloat16": partial(_in_bfloat16, kernel=in_parts),
        }
    # In float32, one head at a time took 1.3 to 2.5 times as long at 769 to 4801 tokens.
    return {"fused": attend}


def attend_packed(qkv: Tensor, heads: int) -> Tensor:
    """PyTorch's own kernel, on heads whose rows lie beside each other in memory; see `Kernel`."""
    queries, keys, values = torch.stack(split_heads(qkv, heads)).unbind(0)
    out = F.scaled_dot_product_attention(queries, keys, values)
    return out.transpose(1, 2).flatten(2)


def attend_by_head(qkv: Tensor, heads: int, at_once: int | None = None) -> Tensor:
    """One head after the other, with scores in the same type.

    Scores are products with the keys' deviation from their mean, which gives each row a constant
    that softmax does not see, and leaves smaller numbers to round.

    Args:
        qkv, heads: see `Kernel`.
        at_once: scores that are held at once; None for `_SCORES`.
    """
    # (3, B * heads, T, c): each head's rows beside each other in memory.
    queries, keys, values = torch.stack(split_heads(qkv, heads)).flatten(1, 2)
    queries *= queries.shape[-1] ** -0.5
    keys -= keys.mean(dim=1, keepdim=True)
    count, tokens, _ = queries.shape
    rows = max(1, min(tokens, (at_once or _SCORES) // tokens))
    scores, weights = torch.empty(2, rows, tokens, dtype=qkv.dtype).unbind(0)
    mixed = torch.empty_like(queries)
    for head in range(count):
        for asking, out in zip(queries[head].split(rows), mixed[head].split(rows), strict=True):
            torch.mm(asking, keys[head].T, out=scores[: len(asking)])
            torch.softmax(scores[: len(asking)], dim=-1, out=weights[: len(asking)])
            torch.mm(weights[: len(asking)], values[head], out=out)
    by_image: Tensor = mixed.unflatten(0, (len(qkv), heads))
    return by_image.transpose(1, 2).flatten(2)


def _in_bfloat16(qkv: Tensor, heads: int, kernel: Kernel) -> Tensor:
    return kernel(qkv.to(torch.bfloat16), heads).to(qkv.dtype)
