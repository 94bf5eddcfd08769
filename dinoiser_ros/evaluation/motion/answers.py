# SPDX-License-Identifier: Apache-2.0
"""What a network says of the pictures of a drive: the truth, or a model's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dinoiser_ros.segmentation import Segmentation, Segmenter
from dinoiser_ros.sim.classes import UNLABELLED
from dinoiser_ros.temporal.stream import Mask
from dinoiser_ros.temporal.windows import Window

from .drives import EVERY, Drive, View

Answers = Callable[[int, Window | None], Mask]
"""From the number of a picture, and the window of it that the network gets, to the mask of that."""


def as_masks(labels: Sequence[np.ndarray], confidence: Sequence[np.ndarray]) -> list[Mask]:
    """Labels and confidence of pictures as masks of one context."""
    return [
        Mask(ids, sure, UNLABELLED, "sim") for ids, sure in zip(labels, confidence, strict=True)
    ]


def true_masks(views: Sequence[View]) -> list[Mask]:
    """The masks of a network that is never wrong."""
    ones = np.ones(views[0].truth.shape, np.float32)
    return as_masks([view.truth for view in views], [ones] * len(views))


def true_answers(drive: Drive) -> Answers:
    """A network that is never wrong."""

    def answer(index: int, window: Window | None) -> Mask:
        labels = drive.labels[index]
        labels = labels if window is None else window.of(labels)
        return as_masks([labels], [np.ones(labels.shape, np.float32)])[0]

    return answer


def model_answers(drive: Drive, views: Sequence[Mask], segmenter: Segmenter) -> Answers:
    """A model, each picture by itself.

    Args:
        views: its masks of the drive's views; whole pictures between them are not asked for.
    """

    def answer(index: int, window: Window | None) -> Mask:
        if window is None:
            assert index % EVERY == 0, "only views are segmented as a whole"
            return views[index // EVERY]
        picture = drive.pictures[index]
        result = segmenter.segment_batch([window.of(picture)], picture.shape[:2])[0]
        return masks_of([result])[0]

    return answer


def masks_of(results: Sequence[Segmentation]) -> list[Mask]:
    """A model's results as masks of one context."""
    return as_masks([r.labels for r in results], [r.confidence for r in results])
