# SPDX-License-Identifier: Apache-2.0
"""Masks of simulated frames: a model's, and true ones made as coarse as those of a network are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np


def segmenter_of(model: str) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A model's masks of the simulated classes: (H, W, 3) to class ids and confidence."""
    from dinoiser_ros.segmentation import Segmenter
    from dinoiser_ros.sim.classes import CLASSES

    segmenter = Segmenter(model=model)
    segmenter.set_prompts(list(CLASSES))

    def segment(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = segmenter.segment(image)
        return result.labels, result.confidence

    return segment


def in_patches(labels: np.ndarray, patch: int) -> np.ndarray:
    """As a network of square patches sees them.

    The share of each class in a patch, resized bilinearly, the greatest of which wins: what the
    engine does with probabilities.

    Args:
        labels: (H, W) uint8 class ids.
        patch: side of a patch in pixels of the image.
    """
    height, width = labels.shape
    best = np.full(labels.shape, -1.0, np.float32)
    found = np.zeros_like(labels)
    for number in np.unique(labels):
        share = cv2.resize(
            (labels == number).astype(np.float32),
            (width // patch, height // patch),
            interpolation=cv2.INTER_AREA,
        )
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        better = share > best
        best[better], found[better] = share[better], number
    return found


def dilated(labels: np.ndarray, numbers: Sequence[int], radius: int) -> np.ndarray:
    """With some classes grown over all others.

    Args:
        labels: (H, W) uint8 class ids.
        numbers: classes that grow, not over each other.
        radius: in pixels.
    """
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    others, found = ~np.isin(labels, numbers), labels.copy()
    for number in numbers:
        grown = cv2.dilate((labels == number).astype(np.uint8), kernel) > 0
        found[grown & others] = number
    return found
