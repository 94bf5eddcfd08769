# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with cameras, at five severities each: seeded, with numpy and Pillow only.

In the spirit of MaskCLIP's test under corruptions (arXiv 2112.01071); kinds and strengths are this
project's own, for pictures of about 256 x 192.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

SEVERITIES = (1, 2, 3, 4, 5)

Random = np.random.Generator
Corruption = Callable[[np.ndarray, int, Random], np.ndarray]


def gaussian_noise(rgb: np.ndarray, severity: int, random: Random) -> np.ndarray:
    """Independent noise on every value, as a sensor has it at high gain."""
    deviation = (8, 16, 26, 40, 60)[severity - 1]
    return _to_bytes(rgb + deviation * random.standard_normal(rgb.shape))


def blur(rgb: np.ndarray, severity: int, random: Random) -> np.ndarray:
    """A gaussian blur, as of a lens out of focus."""
    radius = (0.6, 1.0, 1.6, 2.4, 3.6)[severity - 1]  # standard deviation in pixels
    return np.array(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(radius)))


def darkness(rgb: np.ndarray, severity: int, random: Random) -> np.ndarray:
    """Less light: every value shrinks, and with it the number of levels that are left."""
    return _to_bytes(rgb * (0.75, 0.55, 0.4, 0.28, 0.18)[severity - 1])


def jpeg(rgb: np.ndarray, severity: int, random: Random) -> np.ndarray:
    """A compressed transport that is short of bandwidth."""
    quality = (40, 25, 15, 8, 4)[severity - 1]
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=2)
    with Image.open(buffer) as file:
        return np.array(file.convert("RGB"))


def motion_blur(rgb: np.ndarray, severity: int, random: Random) -> np.ndarray:
    """The camera moves along a line, in a random direction, while the shutter is open."""
    length = (3, 6, 10, 15, 21)[severity - 1]  # pixels
    angle = random.uniform(0.0, np.pi)
    steps = np.linspace(-length / 2, length / 2, 2 * length + 1)
    shifts = np.rint(np.outer(steps, [np.sin(angle), np.cos(angle)])).astype(int)
    edge = length // 2 + 1
    padded = np.pad(rgb.astype(np.float64), ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    height, width = rgb.shape[:2]
    views = [padded[edge + y : edge + y + height, edge + x : edge + x + width] for y, x in shifts]
    return _to_bytes(np.asarray(sum(views) / len(views)))


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian noise": gaussian_noise,
    "blur": blur,
    "darkness": darkness,
    "JPEG": jpeg,
    "motion blur": motion_blur,
}


def corrupt(rgb: np.ndarray, name: str, severity: int, seed: int) -> np.ndarray:
    """Corrupt a picture; the same arguments give the same picture on every machine.

    With one seed the severities differ in strength only: noise and direction are the same.

    Args:
        rgb: (H, W, 3) uint8.
        name: a name in `CORRUPTIONS`.
        severity: 1 to 5.
        seed: at least 0; another one for each picture.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        ValueError: the severity is not one of `SEVERITIES`.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity is {severity}: use 1 to {SEVERITIES[-1]}")
    return CORRUPTIONS[name](rgb, severity, np.random.default_rng(seed))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels
