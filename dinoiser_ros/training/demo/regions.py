# SPDX-License-Identifier: Apache-2.0
"""Crops of training frames with boxes in them, and what is visible in each box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS, UNLABELLED

from .captions import ENTITY_SHAPE, NO_COLOUR
from .frame_store import FrameStore

Rng = np.random.Generator
PATCH = 8


@dataclass
class Crop:
    """A square crop on the patch grid of a zoomed frame.

    Attributes:
        rgb: (S, S, 3) uint8, S = tokens * PATCH; instances (S, S) uint8.
        grid: rows and columns of the whole zoomed frame; row, column: where the crop starts, all in
            patches.
        tables: (256, 2) class id and colour index of each instance.
    """

    rgb: Tensor
    instances: np.ndarray
    grid: tuple[int, int]
    row: int
    column: int
    tables: np.ndarray


class CropSampler:
    """Draws crops around things: every class is the centre equally often, objects more often."""

    def __init__(self, store: FrameStore, object_weight: float = 3.0, step: int = 4) -> None:
        """Look once at every ``step``-th pixel of the store for what is where."""
        self.store = store
        where: list[list[tuple[int, int, int]]] = [[] for _ in CLASSES]
        for index in range(len(store.rgb)):
            sub = store.instances[index, ::step, ::step]
            counts = np.bincount(sub.ravel(), minlength=256)
            for thing in np.flatnonzero(counts[:UNLABELLED] >= 6):
                pixels = np.argwhere(sub == thing)
                y, x = pixels[len(pixels) // 2] * step
                where[store.classes[index, thing]].append((index, int(y), int(x)))
        self.where = [np.array(entries, np.int32).reshape(-1, 3) for entries in where]
        weight = np.array([object_weight if c in OBJECT_IDS else 1.0 for c in range(len(CLASSES))])
        weight[[len(entries) == 0 for entries in self.where]] = 0
        self.weight = weight / weight.sum()

    def draw(self, rng: Rng, tokens: tuple[int, int], zooms: tuple[float, ...] = (1.0,)) -> Crop:
        """A crop that contains a thing of a random class.

        Args:
            tokens: its rows and columns in patches.
            zooms: one is drawn; the frame, zoomed, must not be smaller than the crop.
        """
        entries = self.where[rng.choice(len(CLASSES), p=self.weight)]
        index, y, x = entries[rng.integers(len(entries))]
        height, width = self.store.rgb.shape[1:3]
        zoom = zooms[rng.integers(len(zooms))]
        grid = int(height * zoom / PATCH), int(width * zoom / PATCH)
        row = _start(rng, y * zoom / PATCH, tokens[0], grid[0])
        column = _start(rng, x * zoom / PATCH, tokens[1], grid[1])
        pixels = PATCH / zoom
        y0, y1 = round(row * pixels), round((row + tokens[0]) * pixels)
        x0, x1 = round(column * pixels), round((column + tokens[1]) * pixels)
        rgb = torch.from_numpy(self.store.rgb[index, y0:y1, x0:x1].copy())
        size = tokens[0] * PATCH, tokens[1] * PATCH
        ys = y0 + (np.arange(size[0]) + 0.5) * (y1 - y0) / size[0]
        xs = x0 + (np.arange(size[1]) + 0.5) * (x1 - x0) / size[1]
        instances = self.store.instances[index][np.ix_(ys.astype(int), xs.astype(int))]
        tables = np.full((256, 2), UNLABELLED, np.uint8)
        tables[: self.store.classes.shape[1], 0] = self.store.classes[index]
        tables[: self.store.colours.shape[1], 1] = self.store.colours[index]
        return Crop(resize(rgb, size), instances, grid, row, column, tables)


def _start(rng: Rng, centre: float, length: int, total: int) -> int:
    """First patch of a window of ``length`` that contains ``centre`` and lies in ``total``."""
    start = int(centre - rng.uniform(0.15, 0.85) * length)
    return min(max(start, 0), total - length)


def resize(rgb: Tensor, size: tuple[int, int]) -> Tensor:
    """(h, w, 3) uint8 to (H, W, 3) uint8, bilinear with antialiasing."""
    if tuple(rgb.shape[:2]) == size:
        return rgb
    image = rgb.permute(2, 0, 1)[None].float()
    image = F.interpolate(image, size=size, mode="bilinear", antialias=True, align_corners=False)
    return image[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8)


def draw_boxes(rng: Rng, instances: np.ndarray, count: int) -> np.ndarray:
    """Random boxes in a crop, (count, 4) as y0, x0, y1, x1 in patches.

    A third are the bounding boxes of things, a third small ones on a point of a thing, the rest
    anywhere.
    """
    rows, columns = instances.shape[0] // PATCH, instances.shape[1] // PATCH
    sub = instances[2::4, 2::4]
    things = np.flatnonzero(np.bincount(sub.ravel(), minlength=256)[:UNLABELLED] >= 5)
    boxes = np.zeros((count, 4), np.int64)
    for k in range(count):
        kind = k % 3 if len(things) else 2
        if kind == 2:
            size = np.minimum(
                2 + (np.array([rows, columns]) * 0.6 * rng.random(2) ** 2).astype(int),
                (rows, columns),
            )
            y, x = rng.integers(0, rows - size[0] + 1), rng.integers(0, columns - size[1] + 1)
            boxes[k] = y, x, y + size[0], x + size[1]
            continue
        pixels = np.argwhere(sub == things[rng.integers(len(things))]) * 4 + 2
        if kind == 1:
            size = rng.integers(2, 5, 2)
            centre = pixels[rng.integers(len(pixels))] / PATCH
            low = np.round(centre - size / 2).astype(int)
            high = low + size
        else:
            low, high = pixels.min(axis=0) // PATCH, pixels.max(axis=0) // PATCH + 1
            high = np.maximum(high, low + 2)
        low = np.clip(low, 0, (rows - 2, columns - 2))
        boxes[k] = *low, *np.clip(high, low + 2, (rows, columns))
    return boxes


def box_contents(instances: np.ndarray, tables: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Share of a box that each kind of thing covers, (classes, colours + 1) float.

    The box is y0, x0, y1, x1 in patches.
    """
    y0, x0, y1, x1 = box * PATCH
    part = instances[y0:y1, x0:x1]
    counts = np.bincount(part.ravel(), minlength=256)
    share = np.zeros(ENTITY_SHAPE, np.float32)
    for thing in np.flatnonzero(counts[:UNLABELLED]):
        class_id, colour = tables[thing]
        share[class_id, NO_COLOUR if colour == UNLABELLED else colour] += counts[thing] / part.size
    return share


def entities_in(share: np.ndarray, least: float) -> list[tuple[int, int]]:
    """(class id, colour) of what covers at least ``least`` of a box, most visible first."""
    order = np.argsort(-share, axis=None)
    found = [np.unravel_index(k, share.shape) for k in order[:6] if share.flat[k] >= least]
    return [(int(class_id), int(colour)) for class_id, colour in found]
