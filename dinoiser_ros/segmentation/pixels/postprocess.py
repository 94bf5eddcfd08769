# SPDX-License-Identifier: Apache-2.0
"""From probabilities on the patch grid to a label for every pixel, without full-size class maps.

The method's definition is: resize every class's probabilities bilinearly to the image, then take
the best class of each pixel. Between four neighbouring patch centres, here a *quad*, a resized
value is a weighted mean of the four, so a class whose greatest corner is below the least corner
of another class wins nowhere in that quad. Of 150 classes a handful per quad are left; only
those are resized. The result is that of the definition, up to the rounding of one interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_FEW_ELEMENTS = 1 << 25  # floats of full-size maps that are held at once (128 MiB)
_FEW_CLASSES = 16
_BAND = 1 << 17  # pixels that are labelled at once: what stays in a core's cache


@dataclass(frozen=True)
class _Axis:
    """How one axis of the image is interpolated from a row of n patch centres.

    Attributes:
        quad: (pixels,) which quad a pixel lies in, 0 to n - 1; ascending.
        place: (pixels,) each pixel's position in its quad, from 0.
        weight: (n, most pixels of a quad) share of the quad's second corner, 0 where padded.
    """

    quad: Tensor
    place: Tensor
    weight: Tensor


def label_pixels(
    probabilities: Tensor, patch_size: int, shape: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The most probable class of every pixel of the image, and its probability.

    Args:
        probabilities: (B, K, h, w); the others as in `upsample`.

    Returns:
        Confidence (B, H, W) float and labels (B, H, W) int32.
    """
    batch, classes, height, width = probabilities.shape
    few = classes <= _FEW_CLASSES and batch * classes * size[0] * size[1] <= _FEW_ELEMENTS
    if few or probabilities.device.type != "cpu":
        return _label_plainly(probabilities, patch_size, shape, size)
    device = probabilities.device
    down = _axis(height, axis_scale(patch_size, height, shape[0], size[0]), size[0], device)
    across = _axis(width, axis_scale(patch_size, width, shape[1], size[1]), size[1], device)
    corners, ids = _candidates(probabilities)
    rows = max(1, _BAND // (batch * down.weight.shape[1] * across.weight.numel()))
    bands = [
        _label_band(corners[:, top : top + rows], ids[:, top : top + rows], top, down, across)
        for top in range(0, height, rows)
    ]
    confidence, labels = zip(*bands, strict=True)
    return torch.cat(confidence, dim=1), torch.cat(labels, dim=1)


def _label_plainly(
    probabilities: Tensor, patch_size: int, shape: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """By the definition, with as many classes at a time as fit into memory; see `label_pixels`.

    Quicker for few classes, and on a GPU, where one would have to wait for the number of
    candidates: here the host never reads a value from the device.
    """
    at_once = max(1, _FEW_ELEMENTS // (len(probabilities) * size[0] * size[1]))
    best: Tensor | None = None
    labels: Tensor | None = None
    for first in range(0, probabilities.shape[1], at_once):
        some = upsample(probabilities[:, first : first + at_once], patch_size, shape, size)
        confidence, ids = some.max(dim=1)
        if best is None:
            best, labels = confidence, ids
        else:
            assert labels is not None, "both are set together"
            labels = torch.where(confidence > best, ids + first, labels)
            best = torch.maximum(best, confidence)
    assert best is not None and labels is not None, "there is a class"
    return best, labels.to(torch.int32)


def _axis(patches: int, scale: float, pixels: int, device: torch.device) -> _Axis:
    """Bilinear interpolation with align_corners=False, edges repeated.

    Args:
        patches: how many there are along this axis.
        scale: pixels of the image for each.
        pixels: of the image.
    """
    centres = torch.arange(pixels, device=device, dtype=torch.float64)
    source = ((centres + 0.5) / scale - 0.5).clamp_(0.0, patches - 1)
    quad = source.floor().long()
    counts = torch.bincount(quad, minlength=patches)
    first = counts.cumsum(0) - counts
    place = torch.arange(pixels, device=device) - first[quad]
    weight = torch.zeros(patches, max(1, int(counts.max())), device=device)
    weight[quad, place] = (source - quad).float()
    return _Axis(quad, place, weight)


def _candidates(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """The classes that can win somewhere in each quad, with their values at its corners.

    Args:
        probabilities: (B, K, h, w).

    Returns:
        Values (B, h, w, C, 2, 2) at the corners (down, across) and class ids (B, h, w, C),
        ascending among the candidates. Quads with fewer of them are filled up with classes that
        cannot win.
    """
    p = probabilities.permute(0, 2, 3, 1)
    below, right = _next(p, 1), _next(p, 2)
    corners = torch.stack([p, right, below, _next(below, 2)], dim=-1)  # (B, h, w, K, 4)
    # What the winner of any pixel has at least: the best class's smallest corner; and, since one
    # corner weighs a quarter or more, a quarter of the smallest of the corners' best.
    everywhere = corners.amin(dim=-1).amax(dim=-1, keepdim=True)
    somewhere = corners.amax(dim=-2).amin(dim=-1, keepdim=True) / 4
    can_win = corners.amax(dim=-1) >= torch.maximum(everywhere, somewhere)
    most = max(1, int(can_win.sum(dim=-1).max()))  # NaN is no candidate anywhere
    if most == p.shape[-1]:
        ids = torch.arange(most, device=p.device).expand(*p.shape[:3], most)
    else:
        ids = (~can_win).to(torch.uint8).sort(dim=-1, stable=True).indices[..., :most]
        corners = corners.gather(3, ids[..., None].expand(*ids.shape, 4))
    return corners.unflatten(-1, (2, 2)), ids.to(torch.int32)


def _next(x: Tensor, dim: int) -> Tensor:
    """X moved by one place along a dimension, its last entry repeated."""
    last = x.shape[dim] - 1
    return x.index_select(dim, torch.arange(1, last + 2, device=x.device).clamp_(max=last))


def _label_band(
    corners: Tensor, ids: Tensor, top: int, down: _Axis, across: _Axis
) -> tuple[Tensor, Tensor]:
    """Confidence and labels (B, pixel rows, W) of some rows of quads, from the row `top` on."""
    rows, columns = corners.shape[1:3]
    y = down.weight[top : top + rows].view(1, rows, 1, -1, 1)
    x = across.weight.view(1, 1, columns, 1, -1)
    best: Tensor | None = None
    label: Tensor | None = None
    for candidate in range(ids.shape[-1]):
        values = _interpolate_quads(corners[:, :, :, candidate], y, x)
        name = ids[..., candidate, None, None]
        if best is None:
            best, label = values, name.expand(values.shape)
        else:
            assert label is not None, "both are set together"
            label = torch.where(values > best, name, label)
            best = torch.maximum(best, values)
    assert best is not None and label is not None, "there is a candidate"
    inside = (down.quad >= top) & (down.quad < top + rows)
    row_index = ((down.quad - top) * y.shape[3] + down.place)[inside]
    column_index = across.quad * x.shape[4] + across.place
    return _arrange(best, row_index, column_index), _arrange(label, row_index, column_index)


def _interpolate_quads(corners: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """One candidate's corners (B, h, w, 2, 2) -> the quads' pixels (B, h, w, down, across)."""
    upper, lower = corners.unsqueeze(-3).unbind(-2)  # (B, h, w, 1, 2)
    left, right = torch.lerp(upper, lower, y).unsqueeze(-2).unbind(-1)  # (B, h, w, down, 1)
    return torch.lerp(left, right, x)


def _arrange(quads: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, h, w, down, across) of quads to the (B, H, W) of pixels, padding left out."""
    b, h, w, down, across = quads.shape
    flat = quads.permute(0, 1, 3, 2, 4).reshape(b, h * down, w * across)
    return flat.index_select(1, rows).index_select(2, columns)


def upsample(
    probabilities: Tensor, patch_size: int, shape: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Bring probabilities from the patch grid to the image's pixels.

    At the image's own size this is the authors' order: bilinear by the patch size
    (align_corners=False), then cropped to the image. When the image was resized for inference, both
    resizings are one interpolation.

    Args:
        probabilities: (B, K, h, w).
        patch_size: pixels of a patch's side at inference.
        shape: height and width at inference.
        size: height and width wanted, H and W.

    Returns:
        (B, K, H, W).
    """
    cells = probabilities.shape[-2:]
    down, across = (axis_scale(patch_size, *axis) for axis in zip(cells, shape, size, strict=True))
    return _interpolate(probabilities, (down, across))[..., : size[0], : size[1]]


def _interpolate(maps: Tensor, scale: tuple[float, float]) -> Tensor:
    """Bilinear (align_corners=False) by exactly these factors, whatever the rounded size is."""
    return F.interpolate(
        maps, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )


def axis_scale(patch_size: int, cells: int, inner: int, full: int) -> float:
    """Pixels of the image for one cell of the grid, along one axis.

    The grid covers the image, but `cells * scale` may round to just below it; then the scale is
    moved by the least that helps.
    """
    scale = patch_size * full / inner
    while math.floor(cells * scale) < full:
        scale = math.nextafter(scale, math.inf)
    return scale
