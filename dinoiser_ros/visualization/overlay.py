# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: class colours, and an overlay with a legend."""

from __future__ import annotations

import colorsys
import functools
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dinoiser_ros.segmentation import Segmentation

# Consecutive hues this far apart on the circle stay distinct for any number of classes. The nearest
# ones are 8, 13 and 21 ids apart: of the first two pairs, three tones in turn differ in tone, too.
_GOLDEN_RATIO = 0.6180339887
_TONES = ((0.85, 0.95), (0.5, 0.85), (0.95, 0.55))  # saturation and value
_UNLABELED_COLOUR = (40, 40, 40)
_LEGEND_ENTRIES = 24  # of the largest classes; and no more of the picture's height than
_LEGEND_HEIGHT = 0.7
_SPECK = 0.002  # of the picture; smaller classes are not named


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
        saturation, value = _TONES[index % len(_TONES)]
        colours[index] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value)]
    colours.flags.writeable = False
    return colours


def colour_labels(segmentation: Segmentation) -> np.ndarray:
    """Paint every pixel in its class's colour, unlabeled ones dark grey.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    table = np.full((segmentation.unlabeled + 1, 3), _UNLABELED_COLOUR, np.uint8)
    ids = [entry.id for entry in segmentation.classes]
    table[ids] = palette(max(ids) + 1)[ids]
    painted: np.ndarray = table[segmentation.labels]
    return painted


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
    # Both in 16 bits before the product: numpy 1 would choose the type by the weight's value.
    colours, pixels = colour_labels(segmentation).astype(np.uint16), image.astype(np.uint16)
    blended = ((pixels * (256 - weight) + colours * weight) >> 8).astype(np.uint8)
    return draw_legend(blended, segmentation) if legend else blended


def draw_legend(picture: np.ndarray, segmentation: Segmentation) -> np.ndarray:
    """Name the classes in the picture, except specks, in its upper left corner.

    If not all fit, the largest do, and the last line says how many more there are. The order is
    that of the ids, which stays the same in a video.

    Args:
        picture: (H, W, 3) uint8 RGB.
        segmentation: of this picture.

    Returns:
        (H, W, 3) uint8 RGB, a copy.
    """
    height, width = picture.shape[:2]
    line = max(9, min(20, height // 24))
    step = line + line // 4
    margin = line // 3
    room = max(1, min(_LEGEND_ENTRIES, int(height * _LEGEND_HEIGHT - 2 * margin) // step))
    shown, hidden = _largest(segmentation, room)
    if not shown:
        copy: np.ndarray = picture.copy()
        return copy
    font = _font(line)
    left = 2 * margin + line
    texts = {entry.id: entry.name for entry in segmentation.classes}
    names = [_shortened(texts[number], font, width - left - margin) for number in shown]
    names += [f"+ {hidden} more"] if hidden else []
    box = left + max(font.getlength(name) for name in names) + 2 * margin
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw.rectangle((0, 0, box, len(names) * step + 2 * margin), fill=(0, 0, 0, 160))
    colours = palette(max(texts) + 1)
    for row, name in enumerate(names):
        middle = margin + row * step + step // 2
        top = middle - line // 2
        if row < len(shown):
            swatch = (margin, top, margin + line - 1, top + line - 1)
            draw.rectangle(swatch, fill=tuple(colours[shown[row]].tolist()))
        draw.text((left, middle), name, font=font, fill=(255, 255, 255), anchor="lm")
    return np.array(canvas)


def _largest(segmentation: Segmentation, room: int) -> tuple[list[int], int]:
    """The ids of the largest classes in the picture, in order, and how many there is no room for.

    Args:
        room: lines; one of them is for the number of the others if there are any.
    """
    end = max(entry.id for entry in segmentation.classes) + 1
    counts = np.bincount(segmentation.labels.ravel(), minlength=end)[:end]
    order = np.argsort(-counts, kind="stable")
    least = max(1, _SPECK * segmentation.labels.size)
    present = [int(index) for index in order if counts[index] >= least]
    if len(present) > room:
        shown = max(1, room - 1)
        return sorted(present[:shown]), len(present) - shown
    return sorted(present), 0


@functools.lru_cache(maxsize=1024)
def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, or as much of its beginning as has room in `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..." if text else ""


@functools.lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that pictures look the same on every machine."""
    # With a size it is this type in every Pillow that has FreeType, as all wheels do.
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))
