# SPDX-License-Identifier: Apache-2.0
"""What is kept of a region that somebody points at: features of its patches and of those around."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import ExampleError, OptionError
from dinoiser_ros.segmentation.examples.example_set import BACKGROUND_PATCHES, Example
from dinoiser_ros.segmentation.examples.regions import Region, region_cells
from dinoiser_ros.segmentation.methods.inputs import MethodInputs, Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.options import Options, method_options
from dinoiser_ros.segmentation.pixels.preprocess import scale_pixels
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary

from .forward import cells, not_finite

_LEAST_BACKGROUND = 8  # patches; with fewer, those that look like the example count as well
_BINS = 64


def check_teachable(options: Options) -> None:
    """Refuse a method that cannot have classes given by examples.

    Raises:
        OptionError: it names one that can.
    """
    if METHODS[options.method].features is None:
        raise OptionError(
            f"The method {options.method!r} cannot have classes given by examples, since it does "
            "more with texts than compare them with features: use 'dinoiser' or 'maskclip', or "
            "prompts without @."
        )


def patch_features(
    pixels: Tensor, shape: tuple[int, int], parts: Parts, options: Options
) -> tuple[Tensor, tuple[float, float]]:
    """The features of an image that the method compares with texts.

    Args:
        pixels: (1, H, W, 3) uint8 RGB, on the networks' device.
        shape: height and width at inference.
        parts, options: see `classify_batch`.

    Returns:
        (h, w, d) float32 unit vectors, and how many rows and columns the image covers.

    Raises:
        OptionError: see `check_teachable`.
        NotFiniteError: the networks computed NaN or infinity.
    """
    check_teachable(options)
    entry = METHODS[options.method]
    assert entry.features is not None, "check_teachable saw to it"
    batch = scale_pixels(pixels, shape)
    dense = parts.clip_backbone(batch, entry.request) if entry.request else None
    nothing = torch.empty(0, device=pixels.device)
    chosen = method_options(options, parts.heads)
    inputs = MethodInputs(batch, dense, parts, Vocabulary((), (), nothing, nothing), chosen)
    found = entry.features(inputs).float()
    if not found.isfinite().all():
        raise not_finite(str(parts.main.dtype).removeprefix("torch."))
    side, covered = cells(found, shape, parts, options)
    unit = F.normalize(found[0].permute(1, 2, 0), dim=-1)
    return unit, (covered[0] / side, covered[1] / side)


def examples_of(
    features: Tensor, extent: tuple[float, float], size: tuple[int, int], region: Region
) -> list[Example]:
    """The examples that a region is: a mask or box is one, each point is one.

    Args:
        features: (h, w, d) unit vectors, see `patch_features`.
        extent: how many rows and columns the image covers.
        size: the image's height and width.
        region: see `region_cells`.

    Raises:
        ExampleError: see `region_cells`; or nothing else is in the picture.
    """
    grid = (features.shape[0], features.shape[1])
    flat = features.flatten(0, 1)
    found = region_cells(region, size, grid, extent)
    anywhere = torch.from_numpy(np.logical_or.reduce(found).ravel()).to(flat.device)
    return [_example(flat, torch.from_numpy(one.ravel()), anywhere) for one in found]


def _example(flat: Tensor, cells_of_it: Tensor, anywhere: Tensor) -> Example:
    """One example.

    Args:
        flat: (N, d) unit features.
        cells_of_it: (N,) bool.
        anywhere: (N,) bool, those of all examples of the region.
    """
    feature = F.normalize(flat[cells_of_it.to(flat.device)].mean(dim=0), dim=0)
    around = flat[~anywhere]
    if not len(around):
        raise ExampleError(
            "The region covers the whole picture: mark less of it, or give a picture in which "
            "something else is seen as well."
        )
    similar = around @ feature
    # Other things of the same kind may be in the picture.
    unlike = around[similar < otsu_threshold(similar.cpu().numpy())]
    chosen = unlike if len(unlike) >= _LEAST_BACKGROUND else around
    places = torch.linspace(0, len(chosen) - 1, BACKGROUND_PATCHES).round().long()
    return Example(feature.cpu(), chosen[places.to(chosen.device)].cpu())


def otsu_threshold(values: np.ndarray) -> float:
    """The value that divides values into two groups with the least variance (Otsu, 1979).

    Args:
        values: (N,), at least one.

    Returns:
        A threshold; the least value if all are equal.
    """
    counts, edges = np.histogram(values, _BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(float)
    above = len(values) - below
    sums = np.cumsum(counts * centres)
    means = sums[:-1] / np.maximum(below, 1), (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = np.where((below > 0) & (above > 0), below * above * (means[0] - means[1]) ** 2, 0.0)
    if not between.any():
        return float(values.min())
    return float(edges[1:-1][between.argmax()])
