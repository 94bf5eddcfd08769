# SPDX-License-Identifier: Apache-2.0
"""Pictures that are none of the simulated world, drawn by chance: what photographs are like.

Noise and overlapping shapes with the statistics of natural images ("dead leaves") teach networks
nearly what photographs do (arXiv 2106.05963, sections 3.1 and 3.3); stripes, boards and print are
what screens and pages look like.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

_WIDTHS = (192, 256, 288, 341)  # pictures are 192 pixels high


def other_picture(seed: int) -> np.ndarray:
    """A picture, (192, W, 3) uint8 RGB; the same seed gives the same one."""
    rng = np.random.default_rng([seed, 7])
    shape = (192, int(rng.choice(_WIDTHS)))
    kind = rng.random()
    if kind < 0.6:
        return leaves(rng, shape)
    return noise(rng, shape) if kind < 0.85 else page(rng, shape)


def spectrum(rng: np.random.Generator, shape: tuple[int, int], slope: float) -> np.ndarray:
    """(H, W) noise whose amplitudes fall with frequency to the power of `slope`; deviation 1."""
    height, width = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf  # no mean
    real, imaginary = rng.normal(size=(2, *frequency.shape))
    field = np.fft.irfft2((real + 1j * imaginary) / frequency**slope, s=shape)
    normalised: np.ndarray = field / (field.std() + 1e-9)
    return normalised


def noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: coloured 1/f noise whose channels go together, as in photographs."""
    slope, mix = rng.uniform(0.7, 1.8), rng.uniform(0.05, 0.6)
    common = spectrum(rng, shape, slope)
    field = np.stack([common + mix * spectrum(rng, shape, slope + 0.2) for _ in range(3)], axis=-1)
    return _bytes(rng.uniform(60, 180, 3) + field / field.std() * rng.uniform(20, 60))


def leaves(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: shapes of all sizes on top of each other, shaded, some with texture."""
    size = (2 * shape[0], 2 * shape[1])  # drawn larger, so that edges become smooth
    canvas = Image.fromarray(noise(rng, size))
    textures = [noise(rng, size).mean(axis=2, keepdims=True) - 120 for _ in range(3)]
    palette = rng.uniform(0, 255, (rng.integers(3, 12), 3))
    saturation = rng.uniform(0.1, 0.9)
    palette = palette.mean(axis=1, keepdims=True) * (1 - saturation) + palette * saturation
    largest = rng.uniform(60, 200)
    for number in range(int(rng.integers(20, 400))):
        share = rng.random()  # areas are distributed by a power law
        radius = 1.5 * (3**-2 + (largest**-2 - 3**-2) * share) ** -0.5
        mask = _shape(rng, rng.uniform(40, largest) if number < 8 else radius)
        wide, high = min(mask.width, size[1]), min(mask.height, size[0])
        texture = textures[rng.integers(3)][:high, :wide]
        colour = palette[rng.integers(len(palette))] + rng.normal(0, 12, 3)
        x, y = int(rng.integers(-wide // 2, size[1])), int(rng.integers(-high // 2, size[0]))
        canvas.paste(_surface(rng, colour, texture), (x, y), mask.crop((0, 0, wide, high)))
    small = canvas.resize(shape[::-1], Image.Resampling.LANCZOS)
    pixels = np.asarray(small, np.float64)
    if rng.random() < 0.2:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    pixels = 255 * (pixels / 255) ** rng.uniform(0.6, 1.6) * rng.uniform(0.5, 1.2)
    return _bytes(pixels + rng.normal(0, rng.uniform(0, 5), pixels.shape))


def _shape(rng: np.random.Generator, radius: float) -> Image.Image:
    """An ellipse or a polygon as a mask."""
    middle = 1.6 * radius
    side = max(2, int(2 * middle))
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    if rng.random() < 1 / 3:
        wide, high = radius * rng.uniform(0.4, 1.6, 2)
        draw.ellipse([middle - wide, middle - high, middle + wide, middle + high], fill=255)
        return mask
    corners = int(rng.integers(3, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = radius * rng.uniform(0.4, 1.5, corners)
    points = zip(middle + radii * np.cos(angles), middle + radii * np.sin(angles), strict=True)
    draw.polygon([(float(a), float(b)) for a, b in points], fill=255)
    return mask


def _surface(rng: np.random.Generator, colour: np.ndarray, texture: np.ndarray) -> Image.Image:
    """A colour with a gradient of light over it and, in two cases of three, a texture."""
    down = np.linspace(-1, 1, texture.shape[0])[:, None, None]
    right = np.linspace(-1, 1, texture.shape[1])[None, :, None]
    light = 1 + rng.uniform(-0.4, 0.4) * down + rng.uniform(-0.4, 0.4) * right
    return Image.fromarray(_bytes(colour * light + rng.choice([0.0, 0.3, 0.8]) * texture))


def page(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: a board, print, or a sky without objects."""
    kind, ground, ink = rng.integers(3), rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    rows, columns = np.indices(shape)
    if kind == 0:
        side = int(rng.integers(6, 40))
        squares = (rows // side + columns // side) % 2
        return _bytes(np.where(squares[..., None], ground, ink))
    if kind == 1:
        return _print(rng, shape, ground, ink)
    slopes = rng.uniform(-120, 120, (2, 3))
    sky = (
        ground + slopes[0] * rows[..., None] / shape[0] + slopes[1] * columns[..., None] / shape[1]
    )
    return _bytes(sky + 8 * spectrum(rng, shape, 1.2)[..., None])


def _print(
    rng: np.random.Generator, shape: tuple[int, int], ground: np.ndarray, ink: np.ndarray
) -> np.ndarray:
    """Lines of words."""
    image = Image.fromarray(_bytes(np.broadcast_to(ground, (*shape, 3))))
    draw = ImageDraw.Draw(image)
    pitch = int(rng.integers(9, 24))
    for top in range(4, shape[0] - 4, pitch):
        left = 5
        while left < shape[1] - 10:
            word = "".join(chr(letter) for letter in rng.integers(97, 122, rng.integers(2, pitch)))
            draw.text((left, top), word, fill=tuple(int(value) for value in ink))
            left += 7 * len(word) + 6
    return np.asarray(image)


def _bytes(values: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels
