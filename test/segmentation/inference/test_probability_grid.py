# SPDX-License-Identifier: Apache-2.0
"""The grid of probabilities is what `segment` sees: same classes, same confidence, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS

from dinoiser_ros.errors import ImageError, PromptError
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.probability_grid import MOST_VALUES, grid_shape


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    made = Segmenter(**GOLDEN_MODEL, inference_size=64)
    made.set_prompts(GOLDEN_PROMPTS)
    return made


@pytest.mark.parametrize("size", [(48, 64), (90, 57), (64, 300)])
@pytest.mark.parametrize("method", ["dinoiser", "maskclip"])
def test_it_agrees_with_the_mask(segmenter: Segmenter, size: tuple[int, int], method: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    segmenter.method = method
    mask = segmenter.segment(image)
    # As many cells as pixels: then each cell's centre is a pixel's.
    grid = segmenter.probability_grid(image, longer_side=max(size))
    assert grid.shape == (len(segmenter.classes), *size) and grid.dtype == np.float32
    assert (grid.sum(axis=0) > 1.0 - 1e-4).all()  # more where the filter made it background
    assert (grid.argmax(axis=0) == mask.labels).mean() > 0.999
    assert np.allclose(grid.max(axis=0), mask.confidence, atol=1e-4)


def test_its_size_is_bounded(segmenter: Segmenter) -> None:
    assert grid_shape((480, 640), 64, 12) == (48, 64)
    assert grid_shape((10, 20), 64, 2) == (10, 20)  # no finer than the picture
    assert grid_shape((1, 8000), 64, 2) == (1, 64)
    for classes in (1000, 65_534):
        rows, columns = grid_shape((4000, 6000), 256, classes)
        assert min(rows, columns) >= 1 and rows * columns * classes <= MOST_VALUES
    image = np.zeros((48, 64, 3), np.uint8)
    assert segmenter.probability_grid(image).shape[1:] == (48, 64)
    assert segmenter.probability_grid(image, 16).shape[1:] == (12, 16)


def test_bad_input_is_refused() -> None:
    made = Segmenter(**GOLDEN_MODEL, inference_size=64)
    with pytest.raises(PromptError):
        made.probability_grid(np.zeros((8, 8, 3), np.uint8))
    made.set_prompts(GOLDEN_PROMPTS)
    with pytest.raises(ImageError):
        made.probability_grid(np.zeros((8, 8), np.uint8))
