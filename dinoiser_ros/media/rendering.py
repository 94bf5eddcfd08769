# SPDX-License-Identifier: Apache-2.0
"""What is written of a segmentation, and told about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dinoiser_ros.messages.encode import confidence_pixels
from dinoiser_ros.segmentation import Segmentation, SegmentationClass, Segmenter
from dinoiser_ros.visualization.overlay import overlay


def render(
    image: np.ndarray, segmentation: Segmentation, wanted: Sequence[str], alpha: float
) -> dict[str, np.ndarray]:
    """The results wanted, as pictures.

    Args:
        image: (H, W, 3) uint8 RGB.
        segmentation: of this image.
        wanted: names of `settings.RESULTS`.
        alpha: strength of the overlay (0 to 1).

    Returns:
        By name: overlay (H, W, 3) uint8 RGB; labels (H, W) uint8 or uint16; confidence (H, W)
        uint8, 0 to 255.
    """
    make = {
        "overlay": lambda: overlay(image, segmentation, alpha),
        "labels": lambda: segmentation.labels,
        "confidence": lambda: confidence_pixels(segmentation.confidence),
    }
    return {name: make[name]() for name in wanted}


def class_pixels(segmentation: Segmentation) -> list[int]:
    """How many pixels each class has, in the order of the ids."""
    classes = len(segmentation.classes)
    counts: list[int] = np.bincount(segmentation.labels.ravel(), minlength=classes).tolist()
    return counts[:classes]


class Shares:
    """How much of one or many segmentations each class takes.

    Attributes:
        frames: how many segmentations were counted.
        unfamiliar: how many of them are not `Segmentation.familiar`.
    """

    def __init__(self, classes: Sequence[SegmentationClass]) -> None:
        self.frames = self.unfamiliar = 0
        self._classes = classes
        self._counts = np.zeros(len(classes), np.int64)
        self._pixels = 0

    def add(self, segmentation: Segmentation) -> None:
        """Count a segmentation with these classes."""
        size, familiar = segmentation.labels.size, segmentation.familiar
        self.add_counts(class_pixels(segmentation), size, familiar)

    def add_counts(self, counts: Sequence[int], pixels: int, familiar: bool = True) -> None:
        """Count a segmentation by its `class_pixels`, the pixels that it has in all, `familiar`."""
        self._counts += np.asarray(counts, np.int64)
        self._pixels += pixels
        self.frames += 1
        self.unfamiliar += not familiar

    def unfamiliar_world(self, segmenter: Segmenter) -> str:
        """What the model knows, if more than half of the images do not show it; else ""."""
        return segmenter.world if 2 * self.unfamiliar > self.frames else ""

    def __str__(self) -> str:
        """The classes found with their share of the pixels, the largest first."""
        order = [index for index in np.argsort(-self._counts, kind="stable") if self._counts[index]]
        return ", ".join(
            f"{self._classes[index].name} {_percent(self._counts[index] / self._pixels)}"
            for index in order
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.005 else "<1%"
