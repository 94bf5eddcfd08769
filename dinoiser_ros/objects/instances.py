# SPDX-License-Identifier: Apache-2.0
"""The objects of one image: connected parts of a class, split where the depth jumps."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .depth_jumps import filled, jumps
from .depth_parts import joined

MOST = 255  # objects of one image: their numbers fit 8 bits


@dataclass(frozen=True)
class Instance:
    """One object in one image.

    Attributes:
        value: of its pixels in `Instances.mask`, from 1.
        class_id: as in the label image.
        x, y, width, height: smallest box around it, in pixels.
        pixel_count: number of its pixels.
        confidence: mean over them, in [0, 1].
    """

    value: int
    class_id: int
    x: int
    y: int
    width: int
    height: int
    pixel_count: int
    confidence: float


@dataclass(frozen=True)
class Instances:
    """The objects of one image.

    Attributes:
        mask: (H, W) uint8, `Instance.value` of the object that a pixel belongs to, 0 for none.
        objects: by size, the largest first; the first has the value 1.
    """

    mask: np.ndarray
    objects: tuple[Instance, ...]


def find_instances(
    labels: np.ndarray,
    confidence: np.ndarray,
    class_ids: Collection[int],
    min_size: int,
    depth: np.ndarray | None = None,
    depth_jump: float = 0.0,
    min_confidence: float = 0.0,
) -> Instances:
    """Find the objects of some classes.

    Pixels are connected with those above, below and beside them, unless the depth jumps between
    them; parts that a jump separates are still one object if it is no farther from one to the other
    (a table's leg behind another one). Of more than `MOST` objects the largest are kept.

    Args:
        labels: (H, W) uint8 or uint16 class ids.
        confidence: (H, W) float in [0, 1].
        class_ids: of the classes that are objects.
        min_size: fewest pixels of an object.
        depth: (H, W) float32 metres, NaN where there is none; None for none at all.
        depth_jump: metres from one pixel to the next at which an object ends.
        min_confidence: mean of an object, in [0, 1].
    """
    mask = np.zeros(labels.shape, np.uint8)
    table = np.zeros(int(np.iinfo(labels.dtype).max) + 1, bool)
    table[list(class_ids)] = True
    inside = table[labels]
    box = _box_of(inside)
    if box is None:
        return Instances(mask, ())
    part = labels[box]
    numbers = _components(part, inside[box], None if depth is None else depth[box], depth_jump)
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")[:MOST]
    order = order[counts[order] >= max(min_size, 1)]
    if not len(order):
        return Instances(mask, ())
    values = np.zeros(len(counts), np.uint8)
    values[order] = np.arange(1, len(order) + 1)
    np.take(values, numbers, out=mask[box])
    objects = list(_described(mask, labels, confidence, len(order)))
    sure = [one for one in objects if one.confidence >= min_confidence]
    if len(sure) < len(objects):
        renamed = np.zeros(len(objects) + 1, np.uint8)
        renamed[[one.value for one in sure]] = np.arange(1, len(sure) + 1)
        mask = renamed[mask]
        sure = [replace(one, value=value) for value, one in enumerate(sure, start=1)]
    return Instances(mask, tuple(sure))


def _described(
    mask: np.ndarray, labels: np.ndarray, confidence: np.ndarray, count: int
) -> Iterator[Instance]:
    """What there is to say of each object of a mask."""
    import cv2

    for value in range(1, count + 1):
        own = (mask == value).view(np.uint8)
        x, y, width, height = cv2.boundingRect(own)
        box = (slice(y, y + height), slice(x, x + width))
        pixels = int(cv2.countNonZero(own[box]))
        sure = cv2.mean(confidence[box], own[box])[0]
        class_id = labels[y, x + int(own[y, x : x + width].argmax())]
        yield Instance(value, int(class_id), x, y, width, height, pixels, sure)


def _box_of(inside: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest box around what is true."""
    import cv2

    left, top, width, height = cv2.boundingRect(inside.view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def _components(
    labels: np.ndarray, inside: np.ndarray, depth: np.ndarray | None, depth_jump: float
) -> np.ndarray:
    """Number the connected parts: (H, W) int32, 0 outside of objects.

    OpenCV connects whatever touches. So pixels are drawn at every second place of a larger picture,
    and between two of them a link if they belong together.
    """
    import cv2

    height, width = labels.shape
    picture = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    across = (labels[:, 1:] == labels[:, :-1]) & inside[:, 1:]
    down = (labels[1:] == labels[:-1]) & inside[1:]
    cut_across = cut_down = None
    if depth is not None and np.isfinite(depth).any():
        depth = filled(depth)
        inverse = 1.0 / depth
        cut_across = across & jumps(inverse, 1, depth_jump)
        cut_down = down & jumps(inverse, 0, depth_jump)
        across ^= cut_across
        down ^= cut_down
    picture[::2, ::2] = inside
    picture[::2, 1::2] = across
    picture[1::2, ::2] = down
    _, drawn = cv2.connectedComponents(picture, connectivity=4)
    numbers: np.ndarray = np.ascontiguousarray(drawn[::2, ::2])
    if depth is None or cut_across is None or cut_down is None:
        return numbers
    beside = np.stack([numbers[:, :-1][cut_across], numbers[:, 1:][cut_across]], axis=1)
    above = np.stack([numbers[:-1][cut_down], numbers[1:][cut_down]], axis=1)
    return joined(numbers, depth, np.concatenate([beside, above]), depth_jump)
