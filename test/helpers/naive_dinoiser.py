# SPDX-License-Identifier: Apache-2.0
"""CLIP-DINOiser written once more from the papers, slowly: numpy in double precision, no shortcuts.

Attention goes head by head, pooling and comparing patch by patch. Only the weights come from
PyTorch, and its bicubic kernel for the positional embedding.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])

erf = np.vectorize(math.erf)
Weights = dict[str, np.ndarray]


def as_arrays(state: dict[str, torch.Tensor]) -> Weights:
    return {name: tensor.double().numpy() for name, tensor in state.items()}


def layer_norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def mlp(x: np.ndarray, w: Weights, block: str) -> np.ndarray:
    hidden = linear(x, w, f"{block}.mlp.c_fc")
    return linear(0.5 * hidden * (1 + erf(hidden / math.sqrt(2))), w, f"{block}.mlp.c_proj")


def attention(x: np.ndarray, w: Weights, block: str, heads: int) -> np.ndarray:
    qkv = x @ w[f"{block}.attn.in_proj_weight"].T + w[f"{block}.attn.in_proj_bias"]
    q, k, v = np.split(qkv, 3, axis=1)
    size = x.shape[1] // heads
    out = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
        out[:, part] = scores / scores.sum(axis=1, keepdims=True) @ v[:, part]
    return linear(out, w, f"{block}.attn.out_proj")


def patches(image: np.ndarray, w: Weights) -> tuple[np.ndarray, int, int]:
    """Padded, normalised and embedded patches (N, width), and the grid."""
    kernel = w["visual.conv1.weight"]
    size = kernel.shape[-1]
    rows, columns = -(-image.shape[0] // size), -(-image.shape[1] // size)
    padded = np.zeros((rows * size, columns * size, 3))
    padded[: image.shape[0], : image.shape[1]] = image / 255
    padded = (padded - MEAN) / STD
    flat = kernel.reshape(len(kernel), -1)
    tokens = []
    for row in range(rows):
        for column in range(columns):
            block = padded[row * size : (row + 1) * size, column * size : (column + 1) * size]
            tokens.append(flat @ block.transpose(2, 0, 1).ravel())
    return np.array(tokens), rows, columns


def positions(w: Weights, rows: int, columns: int) -> np.ndarray:
    embedding = w["visual.positional_embedding"]
    side = math.isqrt(len(embedding) - 1)
    square = torch.from_numpy(embedding[1:].T.reshape(1, -1, side, side))
    resized = F.interpolate(square, (rows, columns), mode="bicubic", align_corners=False)
    return np.concatenate([embedding[:1], resized.numpy().reshape(embedding.shape[1], -1).T])


def dense(image: np.ndarray, w: Weights, layers: int, heads: int) -> dict[str, np.ndarray]:
    """Features (N, d) and intermediate features (N, width) of one (H, W, 3) uint8 image."""
    tokens, rows, columns = patches(image, w)
    x = np.concatenate([w["visual.class_embedding"][None], tokens]) + positions(w, rows, columns)
    x = layer_norm(x, w, "visual.ln_pre")
    for layer in range(layers - 1):
        block = f"visual.transformer.resblocks.{layer}"
        x = x + attention(layer_norm(x, w, f"{block}.ln_1"), w, block, heads)
        inner = layer_norm(x, w, f"{block}.ln_2")
        if layer == layers - 3:
            intermediate = inner[1:]
        x = x + mlp(inner, w, block)
    block = f"visual.transformer.resblocks.{layers - 1}"
    qkv = layer_norm(x, w, f"{block}.ln_1") @ w[f"{block}.attn.in_proj_weight"].T
    value = (qkv + w[f"{block}.attn.in_proj_bias"])[:, -x.shape[1] :]
    x = linear(value, w, f"{block}.attn.out_proj") + x
    x = x + mlp(layer_norm(x, w, f"{block}.ln_2"), w, block)
    features = (layer_norm(x, w, "visual.ln_post") @ w["visual.proj"])[1:]
    return {"features": features, "intermediate": intermediate, "grid": np.array([rows, columns])}


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def correlations(intermediate: np.ndarray, grid: tuple[int, int], w: Weights) -> np.ndarray:
    """(N, N): cosine similarities of the 3x3 convolution's outputs, edges replicated."""
    rows, columns = grid
    kernel, bias = w["obj_proj.weight"], w["obj_proj.bias"]
    outputs = []
    for row in range(rows):
        for column in range(columns):
            out = bias.copy()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    y = min(max(row + dy, 0), rows - 1)
                    x = min(max(column + dx, 0), columns - 1)
                    out += kernel[:, :, dy + 1, dx + 1] @ intermediate[y * columns + x]
            outputs.append(out)
    outputs = unit(np.array(outputs))
    return outputs @ outputs.T


def objectness(intermediate: np.ndarray, w: Weights) -> np.ndarray:
    """(N,): logits of the 1x1 convolution on normalised features."""
    return unit(intermediate) @ w["bkg_decoder.weight"].ravel() + w["bkg_decoder.bias"]


def pool(features: np.ndarray, matrix: np.ndarray, gamma: float) -> np.ndarray:
    pooled = np.zeros_like(features)
    for p in range(len(features)):
        total = 0.0
        for q in range(len(features)):
            if matrix[p, q] >= gamma:
                pooled[p] += matrix[p, q] * features[q]
                total += matrix[p, q]
        pooled[p] /= total + 1e-6
    return pooled


def softmax_over_prompts(features: np.ndarray, text: np.ndarray) -> np.ndarray:
    """(N, K) from features (N, d) and text (K, d)."""
    logits = 100 * unit(features) @ text.T
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def filter_background(p: np.ndarray, logits: np.ndarray, delta: float) -> np.ndarray:
    """(N, K) with background at index 0."""
    p = p.copy()
    for patch in range(len(p)):
        if p[patch].max() < delta and 1 / (1 + math.exp(-logits[patch])) <= 0.5:
            p[patch, 0] = 1.0
    return p


def resize(p: np.ndarray, height: int, width: int, scale: tuple[float, float]) -> np.ndarray:
    """Bilinear (align_corners=False) from (K, h, w) to (K, height, width), pixel by pixel."""
    out = np.zeros((len(p), height, width))
    for y in range(height):
        for x in range(width):
            v = max((y + 0.5) / scale[0] - 0.5, 0.0)
            u = max((x + 0.5) / scale[1] - 0.5, 0.0)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, p.shape[1] - 1), min(left + 1, p.shape[2] - 1)
            b, a = v - top, u - left
            upper = (1 - a) * p[:, top, left] + a * p[:, top, right]
            lower = (1 - a) * p[:, bottom, left] + a * p[:, bottom, right]
            out[:, y, x] = (1 - b) * upper + b * lower
    return out
