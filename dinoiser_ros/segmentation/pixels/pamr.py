# SPDX-License-Identifier: Apache-2.0
"""Pixel-adaptive mask refinement (PAMR; Araslanov and Roth, arXiv 2005.08104, section 3.3).

Each pixel's scores become a mean of those around it, weighed by how much alike the colours are, a
few times over: borders of classes move to borders of colours. Nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# As TCL and Talk2DINO have them: distances in pixels to the eight neighbours in each ring.
DILATIONS = (1, 2, 4, 8, 12, 24)
ITERATIONS = 10  # of theirs

_SHARPNESS = 0.1  # deviations of colour that make a weight e times smaller
_EPSILON = 1e-8
_COLOURS = 255.0  # the authors' code sees bytes, which the epsilon is meant for
_CLASSES = 32  # that are refined at once
_OF_AFFINITIES = 12  # iterations that take as long


def refine(scores: Tensor, images: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Refine maps of scores by the colours of their images.

    Args:
        scores: (B, K, H, W) float32.
        images: (B, 3, H, W) RGB in [0, 1].
        iterations: how often.

    Returns:
        (B, K, H, W): means of scores, so that they stay within their range.
    """
    propagated = _looked_up if scores.device.type == "cpu" else _propagated
    return propagated(scores, affinities(images * _COLOURS), iterations)


def refining_memory(pixels: int, classes: int) -> int:
    """Bytes that `refine` holds at once for an image of so many pixels: about."""
    neighbours = 8 * len(DILATIONS)
    return 4 * pixels * (3 * neighbours + 2 * min(classes, _CLASSES) + 3 * classes)


def refining_passes(iterations: int, classes: int) -> int:
    """How often `refine` goes over all neighbours of an image's pixels: about."""
    return iterations * -(-classes // _CLASSES) + _OF_AFFINITIES if iterations else 0


def affinities(images: Tensor) -> Tensor:
    """The weights of each pixel's neighbours (equations 3 to 5).

    Args:
        images: (B, C, H, W) colours from 0 to 255.

    Returns:
        (B, 8 * rings, H, W), which sum to 1 over the neighbours; in the order of `_shifts`.
    """
    padded, count = _padded(images), 9 * len(DILATIONS)
    size = (images.shape[-2], images.shape[-1])
    mean = images * len(DILATIONS)  # each ring has the pixel itself
    for shift in _shifts():
        mean = mean + _shifted(padded, shift, size)
    mean /= count
    spread = (images - mean).square_().mul_(len(DILATIONS))
    for shift in _shifts():
        spread += (_shifted(padded, shift, size) - mean).square_()
    scale = (spread / (count - 1)).sqrt_().mul_(_SHARPNESS).add_(_EPSILON)
    unlike = [
        ((_shifted(padded, shift, size) - images).abs_() / scale).mean(dim=1) for shift in _shifts()
    ]
    alike = torch.stack(unlike, dim=1).neg_()
    return alike.softmax(dim=1)


def _propagated(scores: Tensor, weights: Tensor, iterations: int) -> Tensor:
    """Scores (B, K, H, W), so many times replaced by their neighbours' means."""
    size = (scores.shape[-2], scores.shape[-1])
    for _ in range(iterations):
        padded = _padded(scores)
        scores = torch.zeros_like(scores)
        for index, shift in enumerate(_shifts()):
            scores.addcmul_(weights[:, index : index + 1], _shifted(padded, shift, size))
    return scores


def _looked_up(scores: Tensor, weights: Tensor, iterations: int) -> Tensor:
    """The same as `_propagated` by sums of rows of a table, which are a core's way to do it.

    Ten times as fast on a CPU: a pixel's scores lie beside each other, and are read once.
    """
    batch, _, height, width = scores.shape
    places = _places(height, width, scores.device)
    shares = weights.flatten(2).transpose(1, 2).contiguous()
    refined = torch.empty_like(scores)
    for image in range(batch):
        for first in range(0, scores.shape[1], _CLASSES):
            part = scores[image, first : first + _CLASSES]
            table = part.flatten(1).T.contiguous()
            for _ in range(iterations):
                table = F.embedding_bag(places, table, mode="sum", per_sample_weights=shares[image])
            refined[image, first : first + _CLASSES] = table.T.reshape(part.shape)
    return refined


def _places(height: int, width: int, device: torch.device) -> Tensor:
    """(H * W, 8 * rings) int32: where each pixel's neighbours are in a flat image."""
    down, right = torch.tensor(list(_shifts()), dtype=torch.int32, device=device).T
    rows = torch.arange(height, dtype=torch.int32, device=device).view(-1, 1, 1) + down
    columns = torch.arange(width, dtype=torch.int32, device=device).view(1, -1, 1) + right
    places: Tensor = rows.clamp_(0, height - 1) * width + columns.clamp_(0, width - 1)
    return places.flatten(0, 1)


def _shifts() -> Iterator[tuple[int, int]]:
    """Rows down and columns to the right of each neighbour."""
    for ring in DILATIONS:
        for down in (-ring, 0, ring):
            for right in (-ring, 0, ring):
                if (down, right) != (0, 0):
                    yield down, right


def _padded(maps: Tensor) -> Tensor:
    """With the pixels at the edges repeated for all neighbours outside."""
    return F.pad(maps, [max(DILATIONS)] * 4, mode="replicate")


def _shifted(padded: Tensor, shift: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The neighbours of an area that begins at the upper left pixel: a view of padded maps."""
    top, left = max(DILATIONS) + shift[0], max(DILATIONS) + shift[1]
    return padded[..., top : top + size[0], left : left + size[1]]
