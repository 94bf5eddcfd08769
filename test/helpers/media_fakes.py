# SPDX-License-Identifier: Apache-2.0
"""A segmentation that costs nothing, for tests of what is done with results."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dinoiser_ros.segmentation import Segmentation, Segmenter


def segment_by_brightness(segmenter: Segmenter, image: np.ndarray) -> Segmentation:
    """Stands in for `Segmenter.segment`: bright pixels are of the second class."""
    light = image.astype(np.float32).mean(axis=2) / 255
    return Segmentation((light > 0.5).astype(np.uint8), light, segmenter.classes, 255)


def fail_at_call(
    monkeypatch: pytest.MonkeyPatch, segmenter: Segmenter, number: int, error: BaseException
) -> None:
    """Let `segmenter.segment` raise an error at its call of that number."""
    segment, calls = segmenter.segment, itertools.count(1)

    def unlucky(image: np.ndarray) -> Segmentation:
        if next(calls) == number:
            raise error
        return segment(image)

    monkeypatch.setattr(segmenter, "segment", unlucky)
