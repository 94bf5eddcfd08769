# SPDX-License-Identifier: Apache-2.0
"""Sliding windows, as the literature measures: shorter side 448, window 448, stride 224."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.segmentation.pixels.postprocess import label_pixels, upsample

SHORTER_SIDE, LONGEST_SIDE = 448, 2048  # the latter binds from an aspect of 4.6 on
WINDOW, STRIDE = 448, 224

Probabilities = Callable[[np.ndarray], Tensor]


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width that a picture of this size is segmented at, its aspect kept."""
    scale = min(SHORTER_SIDE / min(size), LONGEST_SIDE / max(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def resize(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize bilinearly, without antialiasing, as the published numbers were measured.

    Args:
        rgb: (H, W, 3) uint8.
        size: height and width wanted.

    Returns:
        (h, w, 3) uint8.
    """
    if rgb.shape[:2] == size:
        return rgb
    pixels = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return resized[0].round_().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows along one side; the last window ends with the picture."""
    last = max(length - window, 0)
    return [*range(0, last, stride), last]


def window_average(rgb: np.ndarray, probabilities: Probabilities, patch_size: int) -> Tensor:
    """Class probabilities of every pixel, averaged over the windows that it is in.

    Args:
        rgb: (h, w, 3) uint8 at the working size.
        probabilities: (y, x, 3) uint8 window -> (K, rows, columns) on its patch grid, or on any
            other grid over the window.
        patch_size: pixels of a patch's side.

    Returns:
        (K, h, w) float32 in [0, 1].
    """
    height, width = rgb.shape[:2]
    total: Tensor | None = None
    count = torch.zeros(height, width)
    for top in window_starts(height, WINDOW, STRIDE):
        for left in window_starts(width, WINDOW, STRIDE):
            window = np.ascontiguousarray(rgb[top : top + WINDOW, left : left + WINDOW])
            size = window.shape[:2]
            fine = _to_pixels(probabilities(window), patch_size, size)
            if total is None:
                total = fine.new_zeros(len(fine), height, width)
            total[:, top : top + size[0], left : left + size[1]] += fine
            count[top : top + size[0], left : left + size[1]] += 1
    assert total is not None  # there is at least one window
    return total.div_(count.to(total.device))


def _to_pixels(coarse: Tensor, patch_size: int, size: tuple[int, int]) -> Tensor:
    """(K, rows, columns) -> (K, y, x) float32: a patch grid may reach beyond the window."""
    grid = (coarse.shape[-2], coarse.shape[-1])
    if grid == tuple(-(-side // patch_size) for side in size):
        return upsample(coarse[None].float(), patch_size, size, size)[0]
    return upsample(coarse[None].float(), 1, grid, size)[0]


def segment_in_windows(
    rgb: np.ndarray, probabilities: Probabilities, patch_size: int
) -> np.ndarray:
    """Label every pixel of a picture by the protocol above.

    Args:
        rgb: (H, W, 3) uint8 at its own size; the others as in `window_average`.

    Returns:
        (H, W) int64 class ids: averages resized bilinearly to the picture, then the most probable.
    """
    size = working_size(rgb.shape[:2])
    average = window_average(resize(rgb, size), probabilities, patch_size)
    return label_pixels(average[None], 1, size, rgb.shape[:2])[1][0].cpu().numpy()
