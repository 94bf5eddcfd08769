# SPDX-License-Identifier: Apache-2.0
"""Parts of a mask that jumps of the depth separate, joined where they are one object after all."""

from __future__ import annotations

import numpy as np

_RADIX = 2**31
_TAIL = 0.05  # share of a part's pixels, at either end of its depths, that is left out
_MOST_PARTS = 64  # that are looked at, the largest; crumbs stay by themselves
_ENOUGH = 2000  # pixels of a part that are looked at
_LEAST = 8  # of them, in one of four, that make a part more than a crumb


def joined(
    numbers: np.ndarray, depth: np.ndarray, neighbours: np.ndarray, least: float
) -> np.ndarray:
    """Join parts beside each other whose depths are not apart.

    A jump between two pixels does not make two objects: a table's back leg is seen right behind its
    front leg, and its top reaches from one to the other. Two people have a gap between them.

    Args:
        numbers: (H, W) int32, of the part that each pixel belongs to.
        depth: (H, W) float32 metres without holes.
        neighbours: (n, 2) numbers of parts that touch where the depth jumps.
        least: metres between the depths of two objects.

    Returns:
        (H, W) int32; joined parts have the number of one of them.
    """
    ordered = np.sort(neighbours[neighbours[:, 0] != neighbours[:, 1]].astype(np.int64), axis=1)
    # As one number each: thirty times faster than rows.
    low, high = np.divmod(np.unique(ordered[:, 0] * _RADIX + ordered[:, 1]), _RADIX)
    pairs = np.stack([low, high], axis=1)
    if not len(pairs):
        return numbers
    # One pixel in four tells where a part is.
    coarse, coarse_depth = np.ascontiguousarray(numbers[::2, ::2]), depth[::2, ::2]
    counts = np.bincount(coarse.ravel(), minlength=int(pairs.max()) + 1)
    parts = np.unique(pairs)
    parts = parts[counts[parts] >= _LEAST]
    parts = parts[np.argsort(-counts[parts], kind="stable")[:_MOST_PARTS]]
    extents = {int(part): _extent(coarse_depth[coarse == part]) for part in parts}
    links = [(a, b) for a, b in pairs[np.isin(pairs, parts).all(axis=1)].tolist()]
    names = np.arange(int(numbers.max()) + 1, dtype=numbers.dtype)
    while links:
        gap, a, b = min((_gap(extents[a], extents[b]), a, b) for a, b in links)
        if gap >= least:
            break
        extents[a] = (min(extents[a][0], extents[b][0]), max(extents[a][1], extents[b][1]))
        names[names == b] = a
        renamed = ({a if part == b else part for part in link} for link in links)
        links = [(min(link), max(link)) for link in renamed if len(link) == 2]
    result: np.ndarray = np.take(names, numbers)
    return result


def _extent(depths: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth, without the tails."""
    ordered = np.sort(depths[:: -(-len(depths) // _ENOUGH)])
    last = len(ordered) - 1
    return float(ordered[round(_TAIL * last)]), float(ordered[round((1 - _TAIL) * last)])


def _gap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Metres between two ranges, 0 if they overlap."""
    return max(a[0] - b[1], b[0] - a[1], 0.0)
