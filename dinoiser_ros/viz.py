"""Pictures for people: class colours, and an overlay with a legend."""

from __future__ import annotations

import colorsys
import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .segmentation import Segmentation

# Consecutive hues this far apart on the circle stay distinct for any number of classes.
_GOLDEN_RATIO = 0.6180339887
_UNLABELED_COLOUR = (40, 40, 40)
_LEGEND_ENTRIES = 24  # more do not fit a picture; the largest classes are listed


@functools.lru_cache(maxsize=8)
def palette(classes: int) -> np.ndarray:
    """Colours of class ids: the colour of an id does not depend on how many there are.

    Args:
        classes: number of ids.

    Returns:
        (classes, 3) uint8 RGB, read-only.
    """
    colours = np.empty((classes, 3), np.uint8)
    for index in range(classes):
        hue = (index * _GOLDEN_RATIO) % 1.0
        saturation, value = (0.85, 0.95) if index % 2 == 0 else (0.6, 0.8)
        colours[index] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value)]
    colours.flags.writeable = False
    return colours


def colour_labels(segmentation: Segmentation) -> np.ndarray:
    """Paint every pixel in its class's colour, unlabeled ones dark grey.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    table = np.full((segmentation.unlabeled + 1, 3), _UNLABELED_COLOUR, np.uint8)
    table[: len(segmentation.classes)] = palette(len(segmentation.classes))
    return table[segmentation.labels]


def overlay(
    image: np.ndarray, segmentation: Segmentation, alpha: float = 0.5, legend: bool = True
) -> np.ndarray:
    """The image with its classes painted over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        segmentation: of this image.
        alpha: how much of the class colours covers the image (0 to 1).
        legend: whether the classes in the picture are named in its upper left corner.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    weight = round(alpha * 256)
    colours = colour_labels(segmentation).astype(np.uint16)
    blended = ((image * np.uint16(256 - weight) + colours * np.uint16(weight)) >> 8).astype(
        np.uint8
    )
    return draw_legend(blended, segmentation) if legend else blended


def draw_legend(picture: np.ndarray, segmentation: Segmentation) -> np.ndarray:
    """Name the classes that are in the picture, the largest first, in its upper left corner.

    Args:
        picture: (H, W, 3) uint8 RGB.
        segmentation: of this picture.

    Returns:
        (H, W, 3) uint8 RGB, a copy.
    """
    height = picture.shape[0]
    line = max(9, min(22, height // 20))
    room = max(1, min(_LEGEND_ENTRIES, (height - 4) // (line + 2)))
    counts = np.bincount(segmentation.labels.ravel(), minlength=len(segmentation.classes))
    counts = counts[: len(segmentation.classes)]
    shown = [index for index in np.argsort(-counts, kind="stable")[:room] if counts[index]]
    if not shown:
        return picture.copy()
    font = _font(line)
    names = [segmentation.classes[index].name for index in shown]
    width = max(font.getlength(name) for name in names)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw.rectangle((0, 0, width + 2 * line + 2, len(shown) * (line + 2) + 4), fill=(0, 0, 0, 150))
    colours = palette(len(segmentation.classes))
    for row, (index, name) in enumerate(zip(shown, names, strict=True)):
        top = 3 + row * (line + 2)
        draw.rectangle(
            (4, top + 1, 4 + line - 2, top + line - 1), fill=tuple(colours[index].tolist())
        )
        draw.text((line + 8, top - 1), name, font=font, fill=(255, 255, 255))
    return np.array(canvas)


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that pictures look the same on every machine."""
    return ImageFont.load_default(size)
