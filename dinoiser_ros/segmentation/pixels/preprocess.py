# SPDX-License-Identifier: Apache-2.0
"""Checks and resizing of input images and of output maps."""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import ImageError
from dinoiser_ros.pictures.limits import MAX_PIXELS

MAX_ASPECT = 8  # longer by shorter side at inference


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


def window_shape(
    window: tuple[int, int], whole: tuple[int, int], shorter_side: int | None, patch: int
) -> tuple[int, int]:
    """Height and width that a part of an image is segmented at: scaled as the whole image would be.

    Args:
        window, whole: heights and widths of the part and of the image.
        shorter_side: see `inference_shape`; of the whole image.
        patch: pixels of a patch's side. A side that was cut has whole patches, since a network sees
            more of the padding in an incomplete one than in a large image.

    Raises:
        ImageError: the part is larger than the image.
    """
    if window[0] > whole[0] or window[1] > whole[1]:
        raise ImageError(f"A window of {window} pixels is not part of an image of {whole}.")
    scaled = inference_shape(whole, shorter_side)
    height, width = (
        side if part == full else max(1, round(part * side / full / patch)) * patch
        for part, full, side in zip(window, whole, scaled, strict=True)
    )
    return height, width


def window_length(
    whole: tuple[int, int], share: float, shorter_side: int | None, patch: int
) -> int:
    """Length of a window along the longer side of an image, in the image's pixels.

    Args:
        whole: height and width of the image.
        share: of the longer side that is wanted, in (0, 1].
        shorter_side, patch: see `window_shape`.

    Returns:
        The length of whole patches that is nearest, one at least; the longer side at most.
    """
    longer, side = max(whole), max(inference_shape(whole, shorter_side))
    patches = max(1, round(share * side / patch))
    return min(longer, max(1, round(patches * patch * longer / side)))


def to_batch(images: list[np.ndarray], shape: tuple[int, int], device: torch.device) -> Tensor:
    """Images of one size as the backbone takes them, see `stack_images` and `scale_pixels`."""
    return scale_pixels(stack_images(images).to(device), shape)


def stack_images(images: list[np.ndarray]) -> Tensor:
    """Images of one size as one tensor on the host.

    Args:
        images: B arrays (H, W, 3) uint8 RGB; a single one is not copied.

    Returns:
        (B, H, W, 3) uint8.
    """
    stacked = np.stack(images) if len(images) > 1 else images[0][None]
    with warnings.catch_warnings():
        # A message's buffer may be read-only, which torch warns of; it is only read here.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(stacked)


def scale_pixels(pixels: Tensor, shape: tuple[int, int]) -> Tensor:
    """Pixels as the backbone takes them, on the device where they are.

    Args:
        pixels: (B, H, W, 3) uint8 RGB.
        shape: height and width to resize to (bilinear, with antialiasing when it shrinks).

    Returns:
        (B, 3, h, w) float32 in [0, 1].
    """
    batch = pixels.permute(0, 3, 1, 2)
    if tuple(batch.shape[-2:]) != tuple(shape):
        # In 8 bits where PyTorch can, as the authors' data loader does: an 8000 x 6000 picture in
        # floating point takes 576 MB.
        batch = batch if batch.device.type == "cpu" else batch.float()
        batch = F.interpolate(batch, size=shape, mode="bilinear", antialias=True)
    return batch.float().div_(255.0).clamp_(0.0, 1.0)
