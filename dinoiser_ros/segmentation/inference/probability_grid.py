# SPDX-License-Identifier: Apache-2.0
"""All classes' probabilities over one image on a coarse grid, to look for better prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.options import Options
from dinoiser_ros.segmentation.pixels.postprocess import upsample
from dinoiser_ros.segmentation.pixels.preprocess import scale_pixels
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary

from .forward import cells, classify_batch

MOST_VALUES = 1 << 22  # probabilities of one grid, all classes together


def grid_shape(size: tuple[int, int], longer_side: int, classes: int) -> tuple[int, int]:
    """Rows and columns of a grid over an image: its aspect, and at most `MOST_VALUES` values.

    Args:
        size: the image's height and width.
        longer_side: cells along the longer side that are wanted, at least 1.
        classes: number of classes.
    """
    scale = min(longer_side / max(size), 1.0)
    fitting = (MOST_VALUES / (classes * size[0] * size[1])) ** 0.5
    scale = min(scale, fitting)
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def probability_grid(
    pixels: Tensor,
    shape: tuple[int, int],
    grid: tuple[int, int],
    parts: Parts,
    vocabulary: Vocabulary,
    options: Options,
) -> Tensor:
    """Class probabilities at the centres of a grid's cells, as `label_batch` sees them there.

    Args:
        pixels: (1, H, W, 3) uint8 RGB, on the networks' device.
        shape: height and width at inference.
        grid: rows h and columns w that divide the image evenly.
        parts, vocabulary, options: see `classify_batch`.

    Returns:
        (K, h, w) float32 in [0, 1].
    """
    coarse = classify_batch(scale_pixels(pixels, shape), parts, vocabulary, options)
    fine = upsample(coarse.float(), *cells(coarse, shape, parts, options), grid)
    return torch.clamp(fine[0], 0.0, 1.0)
