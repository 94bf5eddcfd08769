# SPDX-License-Identifier: Apache-2.0
"""Images that go through the network together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from dinoiser_ros.segmentation import Segmentation, Segmenter

T = TypeVar("T")


def segment_together(
    segmenter: Segmenter, images: Sequence[np.ndarray]
) -> list[Segmentation | Exception]:
    """Segment images, those of one size in one pass; what fails together is tried one by one.

    Args:
        segmenter: with its prompts set.
        images: (H, W, 3) uint8 RGB each.

    Returns:
        For each image its segmentation, or why there is none.
    """
    if len(images) > 1:
        try:
            return list(segmenter.segment_batch(images))
        except Exception:  # one image is to blame, or memory that suffices for one
            pass
    return [_alone(segmenter, image) for image in images]


def _alone(segmenter: Segmenter, image: np.ndarray) -> Segmentation | Exception:
    try:
        return segmenter.segment(image)
    except Exception as error:
        return error


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of `size`, the last of which may be shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
