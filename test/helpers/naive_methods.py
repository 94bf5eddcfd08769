# SPDX-License-Identifier: Apache-2.0
"""MaskCLIP's refinements and CLIPer written once more, slowly: numpy in double precision, loops.

The vision transformer underneath is that of `naive_dinoiser`, with QuickGELU and a bilinear
positional embedding as OpenAI's CLIP and CLIPer have them.
"""

from __future__ import annotations

import math

import naive_dinoiser as naive
import numpy as np
import torch
import torch.nn.functional as F
from naive_dinoiser import Weights, layer_norm, linear, unit


def last_keys(image: np.ndarray, w: Weights, layers: int, heads: int) -> np.ndarray:
    """(N, width): keys of the last block, without CLS, of one (H, W, 3) uint8 image."""
    tokens, rows, columns = naive.patches(image, w)
    x = np.concatenate([w["visual.class_embedding"][None], tokens])
    x = layer_norm(x + naive.positions(w, rows, columns), w, "visual.ln_pre")
    for layer in range(layers - 1):
        block = f"visual.transformer.resblocks.{layer}"
        x = x + naive.attention(layer_norm(x, w, f"{block}.ln_1"), w, block, heads)
        x = x + naive.mlp(layer_norm(x, w, f"{block}.ln_2"), w, block)
    block = f"visual.transformer.resblocks.{layers - 1}"
    qkv = layer_norm(x, w, f"{block}.ln_1") @ w[f"{block}.attn.in_proj_weight"].T
    return np.split(qkv + w[f"{block}.attn.in_proj_bias"], 3, axis=1)[1][1:]


def smooth(p: np.ndarray, keys: np.ndarray, threshold: float) -> np.ndarray:
    """(N, K): unsure rows of p replaced by (k k^T) p, as the paper leaves it: not normalised."""
    k, out = unit(keys), p.copy()
    for patch in range(len(p)):
        if p[patch].max() < threshold:
            out[patch] = sum((k[patch] @ k[other]) * p[other] for other in range(len(p)))
    return out


def denoise(logits: np.ndarray, threshold: float) -> np.ndarray:
    """(N, K) logits without the classes that nobody is sure of."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = exponents / exponents.sum(axis=1, keepdims=True)
    weak = [k for k in range(p.shape[1]) if all(row[k] < threshold for row in p)]
    out = logits.copy()
    if len(weak) < p.shape[1]:
        out[:, weak] = -100
    return out


# -- CLIPer --------------------------------------------------------------------------------------


def cliper_tokens(image: np.ndarray, w: Weights) -> tuple[np.ndarray, int, int]:
    """The first block's input (1 + N, width), and the grid."""
    tokens, rows, columns = naive.patches(image, w)
    table = w["visual.positional_embedding"]
    side = math.isqrt(len(table) - 1)
    square = torch.from_numpy(table[1:].T.reshape(1, -1, side, side))
    resized = F.interpolate(square, (rows, columns), mode="bilinear", align_corners=False)
    places = np.concatenate([table[:1], resized.numpy().reshape(table.shape[1], -1).T])
    x = np.concatenate([w["visual.class_embedding"][None], tokens]) + places
    return layer_norm(x, w, "visual.ln_pre"), rows, columns


def maps_and_values(
    x: np.ndarray, w: Weights, block: str, heads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attention maps (heads, T, T) and values (heads, T, size) of normalised x."""
    qkv = x @ w[f"{block}.attn.in_proj_weight"].T + w[f"{block}.attn.in_proj_bias"]
    q, k, v = (np.stack(np.split(part, heads, axis=1)) for part in np.split(qkv, 3, axis=1))
    scores = np.exp(q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1]))
    return scores / scores.sum(axis=-1, keepdims=True), v


def quick_mlp(x: np.ndarray, w: Weights, block: str) -> np.ndarray:
    hidden = linear(x, w, f"{block}.mlp.c_fc")
    return linear(hidden / (1 + np.exp(-1.702 * hidden)), w, f"{block}.mlp.c_proj")


def clean(attention: np.ndarray) -> np.ndarray:
    """One head's (T, T) map, balanced already."""
    m = (attention + attention.T) / 2
    for column in range(len(m)):
        m[:, column] -= m[:, column].mean()
    m[m < 0] = 0
    return m / m.sum(axis=1, keepdims=True)


def cliper_layers(
    image: np.ndarray, w: Weights, layers: int, heads: int
) -> tuple[list[np.ndarray], np.ndarray, tuple[int, int]]:
    """Each layer's embeddings (1 + N, d), the last cleaned map's patch part (N, N), and the grid.

    The summed attention is balanced in place, once more for each layer.
    """
    x, rows, columns = cliper_tokens(image, w)
    kept, total = [], 0.0
    for layer in range(layers - 1):
        block = f"visual.transformer.resblocks.{layer}"
        inner = layer_norm(x, w, f"{block}.ln_1")
        kept.append(inner)
        maps, values = maps_and_values(inner, w, block, heads)
        total = total + maps
        mixed = np.concatenate(list(maps @ values), axis=1)
        x = x + linear(mixed, w, f"{block}.attn.out_proj")
        x = x + quick_mlp(layer_norm(x, w, f"{block}.ln_2"), w, block)
    block = f"visual.transformer.resblocks.{layers - 1}"
    embeddings = []
    for inner in [*kept, x]:
        for head in total:
            head /= head.sum(axis=0, keepdims=True)
            head /= head.sum(axis=1, keepdims=True)
        cleaned = np.stack([clean(head) for head in total])
        _, values = maps_and_values(layer_norm(inner, w, f"{block}.ln_1"), w, block, heads)
        mixed = np.concatenate(list(cleaned @ values), axis=1)
        out = linear(mixed, w, f"{block}.attn.out_proj")
        embeddings.append(layer_norm(out, w, "visual.ln_post") @ w["visual.proj"])
    return embeddings, cleaned.mean(axis=0)[1:, 1:], (rows, columns)


def cliper_layer(
    embeddings: np.ndarray, foreground: np.ndarray, background: np.ndarray
) -> np.ndarray:
    """(all texts, N) probabilities of one layer's embeddings (1 + N, d): foreground first, then
    background, then the extra text.
    """
    texts = np.concatenate([foreground, background, foreground.mean(axis=0, keepdims=True)])
    return naive.softmax_over_prompts(embeddings[1:], unit(texts)).T


def cliper_fuse(layers: list[np.ndarray], attention: np.ndarray, attention_thr: float):
    """(K, N) from the layers' (K, N): the last one thresholded in place, spread, plus the mean."""
    layers = [layer.copy() for layer in layers]
    last = layers[-1]
    for row in last:
        row[row < attention_thr * row.max()] = 0
    spread = np.array([sum(row[q] * attention[q] for q in range(len(row))) for row in last])
    return spread + sum(layers) / len(layers)


def compensation(scores: np.ndarray, maps: list[np.ndarray], attention_thr: float) -> np.ndarray:
    """(K, N): the product of all heads' matrices in order, then applied."""
    product = np.eye(scores.shape[1])
    for layer in maps:
        for head in layer:
            weights = head / (head.max(axis=0, keepdims=True) + 1e-5)
            weights[weights < attention_thr] = 0
            product = product @ (weights / (weights.sum(axis=1, keepdims=True) + 1e-5))
    return (product @ scores.T).T
