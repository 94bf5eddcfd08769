# SPDX-License-Identifier: Apache-2.0
"""The objects of one image: connected parts of a class, split where the depth jumps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from .depth_jumps import filled, jumps

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
) -> Instances:
    """Find the objects of some classes.

    Pixels are connected with those above, below and beside them. Of more than `MOST` objects the
    largest are kept.

    Args:
        labels: (H, W) uint8 or uint16 class ids.
        confidence: (H, W) float in [0, 1].
        class_ids: of the classes that are objects.
        min_size: fewest pixels of an object.
        depth: (H, W) float32 metres, NaN where there is none; None for none at all.
        depth_jump: metres from one pixel to the next at which an object ends.
    """
    mask = np.zeros(labels.shape, np.uint8)
    table = np.zeros(int(np.iinfo(labels.dtype).max) + 1, bool)
    table[list(class_ids)] = True
    inside = table[labels]
    box = _box_of(inside)
    if box is None:
        return Instances(mask, ())
    part = labels[box]
    measured = None if depth is None else filled(depth[box])
    if measured is not None and not np.isfinite(measured[0, 0]):
        measured = None
    numbers, stats = _components(part, inside[box], measured, depth_jump)
    counts = np.bincount(numbers.ravel(), minlength=len(stats))
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")[:MOST]
    order = order[counts[order] >= max(min_size, 1)]
    if not len(order):
        return Instances(mask, ())
    values = np.zeros(len(stats), np.uint8)
    values[order] = np.arange(1, len(order) + 1)
    np.take(values, numbers, out=mask[box])
    found = mask[box]
    sums = np.bincount(found.ravel(), weights=confidence[box].ravel(), minlength=len(order) + 1)
    top, left = box[0].start, box[1].start
    objects = []
    for value, number in enumerate(order.tolist(), start=1):
        x, y, width, height, first = stats[number]
        objects.append(
            Instance(
                value,
                int(part.ravel()[first]),
                left + x,
                top + y,
                width,
                height,
                int(counts[number]),
                float(sums[value] / counts[number]),
            )
        )
    return Instances(mask, tuple(objects))


def _box_of(inside: np.ndarray) -> tuple[slice, slice] | None:
    """The smallest box around what is true."""
    import cv2

    left, top, width, height = cv2.boundingRect(inside.view(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def _components(
    labels: np.ndarray, inside: np.ndarray, depth: np.ndarray | None, depth_jump: float
) -> tuple[np.ndarray, list[tuple[int, int, int, int, int]]]:
    """Number the connected parts.

    OpenCV connects whatever touches. So pixels are drawn at every second place of a larger picture,
    and between two of them a link if they belong together.

    Returns:
        (H, W) int32, 0 outside; and for each number x, y, width, height, and the index of a pixel.
    """
    import cv2

    height, width = labels.shape
    picture = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    picture[::2, ::2] = inside
    across = (labels[:, 1:] == labels[:, :-1]) & inside[:, 1:]
    down = (labels[1:] == labels[:-1]) & inside[1:]
    if depth is not None:
        across &= ~jumps(depth, 1, depth_jump)
        down &= ~jumps(depth, 0, depth_jump)
    picture[::2, 1::2] = across
    picture[1::2, ::2] = down
    _, drawn, stats, _ = cv2.connectedComponentsWithStats(picture, connectivity=4)
    numbers = np.ascontiguousarray(drawn[::2, ::2])
    first = np.zeros(len(stats), np.intp)
    flat = numbers.ravel()
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    boxes = [
        (int(x) // 2, int(y) // 2, int(w + 1) // 2, int(h + 1) // 2, int(f))
        for (x, y, w, h, _), f in zip(stats, first, strict=True)
    ]
    return numbers, boxes
