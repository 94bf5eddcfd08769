# SPDX-License-Identifier: Apache-2.0
"""The forward pass of one batch of images: from pixels to probabilities and labels.

Functions of tensors, all on one device. No value is read by the host: it never waits for a GPU
here, and the same work can be replayed as one CUDA graph (see `cuda_graph_cache`).
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dinoiser_ros.errors import NotFiniteError
from dinoiser_ros.segmentation.methods.inputs import MethodInputs, Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.options import Options, method_options
from dinoiser_ros.segmentation.pixels.pamr import refine
from dinoiser_ros.segmentation.pixels.postprocess import label_pixels, upsample
from dinoiser_ros.segmentation.pixels.preprocess import scale_pixels
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary


def classify_batch(batch: Tensor, parts: Parts, vocabulary: Vocabulary, options: Options) -> Tensor:
    """Class probabilities on the method's grid; refined ones on the batch's pixels.

    Args:
        batch: (B, 3, H, W) RGB, float32 in [0, 1].
        parts: the networks that the options need.
        vocabulary: what to look for.
        options: the method and its thresholds.

    Returns:
        (B, K, h, w) float32 in [0, 1].
    """
    entry = METHODS[options.method]
    dense = parts.clip_backbone(batch, entry.request) if entry.request else None
    chosen = method_options(options, parts.heads)
    coarse = entry.function(MethodInputs(batch, dense, parts, vocabulary, chosen))
    if not options.pamr:
        return coarse
    size = (batch.shape[-2], batch.shape[-1])
    fine = upsample(coarse.float(), *_method_cells(coarse, size, parts, options), size)
    return refine(fine, batch, options.pamr)


def cells(
    coarse: Tensor, shape: tuple[int, int], parts: Parts, options: Options
) -> tuple[int, tuple[int, int]]:
    """How the grid of `classify_batch` lies on an image, as `upsample` wants to know it.

    Args:
        coarse: (B, K, h, w).
        shape: height and width at inference.

    Returns:
        Pixels of a cell's side, and the height and width that the grid covers in such pixels.
    """
    if options.pamr:
        return 1, (coarse.shape[-2], coarse.shape[-1])
    return _method_cells(coarse, shape, parts, options)


def _method_cells(
    coarse: Tensor, shape: tuple[int, int], parts: Parts, options: Options
) -> tuple[int, tuple[int, int]]:
    """The same for what the method itself gives."""
    if METHODS[options.method].on_patches:
        return parts.clip_backbone.patch_size, shape
    return 1, (coarse.shape[-2], coarse.shape[-1])  # cells divide the image, whatever their number


def label_batch(
    pixels: Tensor,
    shape: tuple[int, int],
    parts: Parts,
    vocabulary: Vocabulary,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """The most probable class of every pixel, and its probability.

    Args:
        pixels: (B, H, W, 3) uint8 RGB, on the networks' device.
        shape: height and width at inference.
        parts, vocabulary, options: see `classify_batch`.

    Returns:
        Labels (B, H, W) int32, `unlabeled` where the confidence is below the threshold, and
        confidence (B, H, W) float in [0, 1]. An image whose probabilities are not all finite has
        the label `not_finite` at its first pixel: `check_finite` finds it on the host.
    """
    size = (pixels.shape[1], pixels.shape[2])
    coarse = classify_batch(scale_pixels(pixels, shape), parts, vocabulary, options)
    confidence, labels = label_pixels(coarse, *cells(coarse, shape, parts, options), size)
    unsure = confidence < options.confidence_threshold
    labels = labels.masked_fill_(unsure, vocabulary.unlabeled)
    # The sum of some numbers is finite if all of them are, probabilities at least.
    finite = coarse.sum(dim=(1, 2, 3)).isfinite()
    labels[:, 0, 0].masked_fill_(~finite, vocabulary.not_finite)
    return labels, confidence.clamp_(0.0, 1.0)


def check_finite(labels: np.ndarray, vocabulary: Vocabulary, precision: str) -> None:
    """Refuse results of `label_batch` that were computed with NaN or infinity.

    Args:
        labels: (B, H, W), on the host.
        vocabulary: what they were made for.
        precision: the networks' floating-point type, for the message.

    Raises:
        NotFiniteError: there is one among them.
    """
    if (labels[:, 0, 0] == vocabulary.not_finite).any():
        raise not_finite(precision)


def not_finite(precision: str) -> NotFiniteError:
    """The error that a result with NaN or infinity in it is refused with."""
    advice = "check the weights" if precision == "float32" else "set precision to 'float32'"
    return NotFiniteError(
        f"The networks' output is not finite (NaN or infinity, computed in {precision}) and is not "
        f"used: {advice}."
    )
