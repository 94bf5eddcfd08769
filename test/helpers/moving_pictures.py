# SPDX-License-Identifier: Apache-2.0
"""Pictures that move by a known amount: windows on a large texture."""

from __future__ import annotations

import cv2
import numpy as np

MARGIN = 80  # pixels that a window can move by


def texture(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """(height + 2 * MARGIN, width + 2 * MARGIN) uint8, smooth and random."""
    random = np.random.default_rng(seed)
    large = (height + 2 * MARGIN, width + 2 * MARGIN)
    coarse = random.integers(0, 256, (large[0] // 6, large[1] // 6), dtype=np.uint8)
    return cv2.resize(coarse, large[::-1], interpolation=cv2.INTER_CUBIC)


def window(picture: np.ndarray, motion: tuple[int, int]) -> np.ndarray:
    """What is seen of a texture (or of its labels) after moving by (x, y) pixels."""
    x, y = motion
    height, width = picture.shape[0] - 2 * MARGIN, picture.shape[1] - 2 * MARGIN
    return picture[MARGIN + y : MARGIN + y + height, MARGIN + x : MARGIN + x + width].copy()


def coloured(grey: np.ndarray) -> np.ndarray:
    """(H, W, 3) of (H, W)."""
    return np.repeat(grey[..., None], 3, axis=2)
