# SPDX-License-Identifier: Apache-2.0
"""Which observation is which track: costs from image and space, gates, and the best assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SIGMAS = 2.0  # of a prediction by which a gate is widened
_REACH = 0.4  # metres between two places of one thing that was predicted exactly
_NO_PAIR = 1e6  # a cost above that of any assignment of pairs that may be


@dataclass(frozen=True)
class Places:
    """Where n things are, or may be by now.

    Attributes:
        boxes: (n, 4) centre x and y, width and height in pixels.
        box_errors: (n, 2) standard deviation of the centre.
        points: (n, 3) metres in the optical frame, NaN where not known.
        point_errors: (n, 3) standard deviation of them.
        classes: n names; things of different classes are never the same.
    """

    boxes: np.ndarray
    box_errors: np.ndarray
    points: np.ndarray
    point_errors: np.ndarray
    classes: Sequence[str]


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, (n, 4) and (m, 4) as in `Places`; (n, m) in [0, 1]."""
    starts = np.maximum((a[:, :2] - a[:, 2:] / 2)[:, None], (b[:, :2] - b[:, 2:] / 2)[None])
    ends = np.minimum((a[:, :2] + a[:, 2:] / 2)[:, None], (b[:, :2] + b[:, 2:] / 2)[None])
    common = np.prod(np.clip(ends - starts, 0.0, None), axis=2)
    areas = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - common
    ratio: np.ndarray = common / np.maximum(areas, 1e-9)
    return ratio


def costs(tracks: Places, seen: Places) -> np.ndarray:
    """How little each track and observation look like one thing.

    Returns:
        (n, m) in [0, 1]; infinite where they cannot be one.
    """
    same = np.array(tracks.classes, object)[:, None] == np.array(seen.classes, object)[None]
    shared = overlap(tracks.boxes, seen.boxes)
    away = np.linalg.norm(tracks.boxes[:, None, :2] - seen.boxes[None, :, :2], axis=2)
    sizes = [np.linalg.norm(places.boxes[:, 2:], axis=1) / 2 for places in (tracks, seen)]
    unsure = _SIGMAS * np.linalg.norm(tracks.box_errors, axis=1)[:, None]
    reach = (sizes[0][:, None] + sizes[1][None]) / 2 + unsure
    image = away / np.maximum(reach, 1e-9)
    cost = (1 - shared + np.minimum(image, 1.0)) / 2
    allowed = same & ((shared > 0) | (image < 1.0))
    apart = np.linalg.norm(tracks.points[:, None] - seen.points[None], axis=2)
    known = np.isfinite(apart)
    errors = np.nan_to_num(np.linalg.norm(tracks.point_errors, axis=1))[:, None]
    space = np.where(known, apart, 0.0) / (_REACH + _SIGMAS * errors)
    cost = np.where(known, (cost + np.minimum(space, 1.0)) / 2, cost)
    return np.where(allowed & (space < 1.0), cost, np.inf)


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of the assignment with the most pairs, and of those with the least cost.

    Args:
        cost: (n, m); infinite for what cannot be a pair.
    """
    from scipy.optimize import linear_sum_assignment

    if not cost.size:
        return []
    possible = np.isfinite(cost)
    rows, columns = linear_sum_assignment(np.where(possible, cost, _NO_PAIR))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]
