# SPDX-License-Identifier: Apache-2.0
"""What a person points at in a picture - a mask, a box or points - as cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dinoiser_ros.errors import ExampleError

Region = np.ndarray | Sequence[float] | Sequence[Sequence[float]]

MAX_POINTS = 64  # of one call
_LEAST_COVERED = 0.5  # share of a cell that a mask has to cover


def region_cells(
    region: Region, size: tuple[int, int], grid: tuple[int, int], extent: tuple[float, float]
) -> list[np.ndarray]:
    """The cells that belong to each example of a region.

    Args:
        region: a mask (H, W) bool or uint8, not zero where the example is; or a box (left, top,
            right, bottom) in pixels; or points [(x, y), ...] in pixels, each an example by itself.
        size: the picture's height H and width W.
        grid: rows h and columns w.
        extent: how many rows and columns of the grid the picture covers: h and w, or less where
            it was padded.

    Returns:
        (h, w) bool for each example, at least one cell of it true.

    Raises:
        ExampleError: it is none of the three, is empty, or lies outside the picture.
    """
    array = _as_array(region)
    if array.dtype in (np.bool_, np.uint8) and array.ndim == 2 and array.shape == size:
        return [_mask_cells(array != 0, grid, extent)]
    if array.dtype == np.bool_:
        raise ExampleError(
            f"The mask has shape {array.shape}: give one of the picture's, {size[0]} x {size[1]}."
        )
    if array.shape == (4,):
        return [_box_cells(_numbers(array), size, grid, extent)]
    if array.ndim == 2 and array.shape[1] == 2 and len(array):
        if len(array) > MAX_POINTS:
            raise ExampleError(f"{len(array)} points are too many: give at most {MAX_POINTS}.")
        return [_point_cell(point, size, grid, extent) for point in _numbers(array)]
    raise ExampleError(
        f"The region has shape {array.shape}: give a mask of the picture's size {size[0]} x "
        f"{size[1]}, a box (left, top, right, bottom) or points [(x, y), ...]."
    )


def _as_array(region: Any) -> np.ndarray:
    try:
        array = np.asarray(region)
    except ValueError:  # of lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "buif":
        raise ExampleError(
            "The region is no array of numbers: give a mask, a box (left, top, right, bottom) or "
            "points [(x, y), ...]."
        )
    return array


def _numbers(array: np.ndarray) -> np.ndarray:
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ExampleError("The region has NaN or infinity in it: give pixels of the picture.")
    return values


def _cells_of_pixels(pixels: int, cells: int, extent: float) -> np.ndarray:
    """(pixels,): the cell in which each pixel's centre lies, along one side."""
    found = ((np.arange(pixels) + 0.5) * extent / pixels).astype(np.int64)
    return np.minimum(found, cells - 1)


def _mask_cells(mask: np.ndarray, grid: tuple[int, int], extent: tuple[float, float]) -> np.ndarray:
    if not mask.any():
        raise ExampleError("The mask is empty: mark the pixels that show the class.")
    rows, columns = (_cells_of_pixels(*side) for side in zip(mask.shape, grid, extent, strict=True))
    cells = (rows[:, None] * grid[1] + columns).ravel()
    counts = np.bincount(cells, minlength=grid[0] * grid[1])
    inside = np.bincount(cells, mask.ravel(), minlength=grid[0] * grid[1])
    covered = (inside / np.maximum(counts, 1)).reshape(grid)
    # An example smaller than half a cell is where it covers most.
    found: np.ndarray = covered >= min(_LEAST_COVERED, float(covered.max()))
    return found


def _box_cells(
    box: np.ndarray, size: tuple[int, int], grid: tuple[int, int], extent: tuple[float, float]
) -> np.ndarray:
    height, width = size
    left, right = np.clip(box[[0, 2]], 0, width)
    top, bottom = np.clip(box[[1, 3]], 0, height)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise ExampleError(
            "The box is empty: give left, top, right and bottom, left below right and top below "
            "bottom."
        )
    if left >= right or top >= bottom:
        raise ExampleError(
            f"The box lies outside the picture, which has {width} x {height} pixels."
        )
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    mask = ((ys >= top) & (ys < bottom))[:, None] & ((xs >= left) & (xs < right))
    if not mask.any():  # thinner than a pixel
        return _point_cell(np.array([(left + right) / 2, (top + bottom) / 2]), size, grid, extent)
    return _mask_cells(mask, grid, extent)


def _point_cell(
    point: np.ndarray, size: tuple[int, int], grid: tuple[int, int], extent: tuple[float, float]
) -> np.ndarray:
    x, y = point
    height, width = size
    if not (0 <= x < width and 0 <= y < height):
        raise ExampleError(
            f"The point ({x:g}, {y:g}) lies outside the picture, which has {width} x {height} "
            "pixels."
        )
    cells = np.zeros(grid, bool)
    row = min(int(y * extent[0] / height), grid[0] - 1)
    column = min(int(x * extent[1] / width), grid[1] - 1)
    cells[row, column] = True
    return cells
