"""Images on their way in and label maps on their way out: checks, resizing, and nothing else."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ImageError

MAX_ASPECT = 8  # longer by shorter side at inference
MAX_MAP_ELEMENTS = 1 << 25  # floats of full-size maps that are held at once (128 MiB)
MAX_PIXELS = 64_000_000  # an 8000 x 8000 picture; more is a broken message rather than a camera


def check_image(image: np.ndarray) -> np.ndarray:
    """Accept an RGB image as cameras give it.

    Args:
        image: (H, W, 3) uint8 RGB.

    Raises:
        ImageError: another type, shape or a size of zero.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"The image is {kind}: give a numpy array of uint8 RGB, 0 to 255.")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(f"The image has shape {image.shape}: give (height, width, 3), RGB.")
    if 0 in image.shape:
        raise ImageError(f"The image has shape {image.shape}: it has no pixels.")
    if image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise ImageError(
            f"The image has shape {image.shape}: more than {MAX_PIXELS} pixels, give a smaller one."
        )
    return image


def inference_shape(size: tuple[int, int], shorter_side: int | None) -> tuple[int, int]:
    """Height and width that an image is segmented at.

    Args:
        size: the image's height and width.
        shorter_side: length that the shorter side is resized to, keeping the aspect; None keeps
            the image's own size.
    """
    if shorter_side is None:
        return size
    scale = shorter_side / min(size)
    # A sliver of an image would make a huge one: its longer side is bounded instead.
    scale = min(scale, MAX_ASPECT * shorter_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def to_batch(images: list[np.ndarray], shape: tuple[int, int], device: torch.device) -> Tensor:
    """Images of one size as the backbone takes them.

    Args:
        images: B arrays (H, W, 3) uint8 RGB.
        shape: height and width to resize to (bilinear, with antialiasing when it shrinks).

    Returns:
        (B, 3, h, w) float32 in [0, 1].
    """
    stacked = np.stack(images) if len(images) > 1 else images[0][None]
    with warnings.catch_warnings():
        # A message's buffer may be read-only, which torch warns of; it is only read here.
        warnings.simplefilter("ignore", UserWarning)
        pixels = torch.from_numpy(stacked)
    batch = pixels.to(device).permute(0, 3, 1, 2).float().div_(255.0)
    if tuple(batch.shape[-2:]) != tuple(shape):
        batch = F.interpolate(batch, size=shape, mode="bilinear", antialias=True)
        batch = batch.clamp_(0.0, 1.0)
    return batch


def label_pixels(
    probabilities: Tensor, patch_size: int, shape: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The most probable class of every pixel of the image, and its probability.

    Equals `upsample` and a maximum over the classes. Full-size maps of all classes are only held
    for some rows at a time: for 18 classes of an 8000 x 6000 picture they would take 3.5 GB.

    Args:
        probabilities: (B, K, h, w); the others as in `upsample`.

    Returns:
        Confidence (B, H, W) float and labels (B, H, W) int64.
    """
    batch, classes = probabilities.shape[:2]
    rows = max(1, MAX_MAP_ELEMENTS // (batch * classes * size[1]))
    if rows >= size[0]:
        return upsample(probabilities, patch_size, shape, size).max(dim=1)
    bands = [
        _upsample_rows(probabilities, patch_size, shape, size, top, min(top + rows, size[0]))
        for top in range(0, size[0], rows)
    ]
    confidence, labels = zip(*bands, strict=True)
    return torch.cat(confidence, dim=1), torch.cat(labels, dim=1)


def _upsample_rows(
    probabilities: Tensor,
    patch_size: int,
    shape: tuple[int, int],
    size: tuple[int, int],
    top: int,
    bottom: int,
) -> tuple[Tensor, Tensor]:
    """`label_pixels` for the image's rows from `top` to before `bottom`: (B, bottom - top, W)."""
    cells = probabilities.shape[-2]
    scale = _scale(patch_size, cells, shape[0], size[0])
    centres = torch.arange(top, bottom, device=probabilities.device, dtype=probabilities.dtype)
    source = ((centres + 0.5) / scale - 0.5).clamp_(min=0.0)
    upper = source.long()
    lower = (upper + 1).clamp_(max=cells - 1)
    weight = (source - upper).unsqueeze(-1)
    band = torch.lerp(probabilities[:, :, upper], probabilities[:, :, lower], weight)
    across = _scale(patch_size, probabilities.shape[-1], shape[1], size[1])
    return _interpolate(band, (1.0, across))[..., : size[1]].max(dim=1)


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
    scale = tuple(_scale(patch_size, *axis) for axis in zip(cells, shape, size, strict=True))
    return _interpolate(probabilities, scale)[..., : size[0], : size[1]]


def _interpolate(maps: Tensor, scale: tuple[float, float]) -> Tensor:
    """Bilinear (align_corners=False) by exactly these factors, whatever the rounded size is."""
    return F.interpolate(
        maps, scale_factor=scale, mode="bilinear", align_corners=False, recompute_scale_factor=False
    )


def _scale(patch_size: int, cells: int, inner: int, full: int) -> float:
    """Pixels of the image for one cell of the grid, along one axis.

    The grid covers the image, but `cells * scale` may round to just below it; then the scale is
    moved by the least that helps.
    """
    scale = patch_size * full / inner
    while math.floor(cells * scale) < full:
        scale = math.nextafter(scale, math.inf)
    return scale
