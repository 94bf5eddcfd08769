# SPDX-License-Identifier: Apache-2.0
"""Procedural surface textures: (S, S, 3) uint8 images that can be repeated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIZE = 192
Rng = np.random.Generator


def smooth_noise(rng: Rng, cells_y: int, cells_x: int, size: int = SIZE) -> np.ndarray:
    """Periodic value noise, (size, size) float in [0, 1], with the given number of cells."""
    grid = rng.random((cells_y, cells_x))
    y = np.arange(size) * cells_y / size
    x = np.arange(size) * cells_x / size
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    y1, x1 = (y0 + 1) % cells_y, (x0 + 1) % cells_x
    top = grid[np.ix_(y0, x0)] * (1 - fx) + grid[np.ix_(y0, x1)] * fx
    bottom = grid[np.ix_(y1, x0)] * (1 - fx) + grid[np.ix_(y1, x1)] * fx
    noise: np.ndarray = top * (1 - fy) + bottom * fy
    return noise


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """Values in [0, 1], clipped to them, as uint8."""
    values: np.ndarray = (np.clip(image, 0, 1) * 255).astype(np.uint8)
    return values


def _shade(colour: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colour (3,) or (S, S, 3) in [0, 1] times brightness (S, S), as uint8."""
    return _to_bytes(colour * value[..., None])


def wooden_floor(rng: Rng) -> np.ndarray:
    """Planks with their own brightness, grain along them and dark joints."""
    planks = int(rng.integers(4, 9))
    base = np.array([0.62, 0.40, 0.22]) * rng.uniform(0.6, 1.3) + rng.normal(0, 0.03, 3)
    row = np.arange(SIZE) * planks // SIZE
    edge = np.diff(row, prepend=row[-1]) != 0
    offset = rng.integers(0, SIZE, planks)
    column = (np.arange(SIZE)[None, :] + offset[row][:, None]) % SIZE
    half = (column < SIZE // 2).astype(int)
    tone = rng.uniform(0.78, 1.12, (planks, 2))[row[:, None], half]
    grain = 0.85 + 0.3 * smooth_noise(rng, 96, 6) * smooth_noise(rng, 48, 3)
    value = tone * grain
    value[edge] *= 0.5
    value[(column == 0) | (column == SIZE // 2)] *= 0.6
    return _shade(base, value)


def tiled_floor(rng: Rng) -> np.ndarray:
    """Square tiles with grout, plain or as a checkerboard of two tones."""
    tiles = 2 * int(rng.integers(1, 4))
    pitch = SIZE // tiles
    index = np.minimum(np.arange(SIZE) // pitch, tiles - 1)
    base = np.array([0.85, 0.84, 0.80]) * rng.uniform(0.7, 1.1) + rng.normal(0, 0.06, 3)
    checker = (index[:, None] + index[None, :]) % 2
    contrast = rng.uniform(0.15, 0.6) if rng.random() < 0.5 else 0.0
    value = 1 - contrast * checker + rng.uniform(-0.06, 0.06, (tiles, tiles))[index][:, index]
    value = value * (0.95 + 0.1 * smooth_noise(rng, 12, 12))
    joint = (np.arange(SIZE) % pitch) < max(2, pitch // 18)
    value[joint, :] = value[:, joint] = rng.uniform(0.35, 0.6)
    return _shade(base, value)


def concrete_floor(rng: Rng) -> np.ndarray:
    """Grey, blotchy and speckled, sometimes with a joint."""
    base = np.array([0.56, 0.56, 0.55]) * rng.uniform(0.6, 1.2) + rng.normal(0, 0.012, 3)
    value = 0.75 + 0.25 * smooth_noise(rng, 5, 5) + 0.15 * smooth_noise(rng, 24, 24)
    value = value + rng.normal(0, 0.05, (SIZE, SIZE))
    if rng.random() < 0.4:
        value[:2] *= 0.55
    return _shade(base, value)


def carpet(rng: Rng, colour: np.ndarray) -> np.ndarray:
    """A woven surface in ``colour``, some with stripes or a diamond pattern."""
    weave = 0.85 + 0.15 * (np.indices((SIZE, SIZE)).sum(axis=0) // 2 % 2)
    value = weave * (0.85 + 0.3 * smooth_noise(rng, 64, 64)) + rng.normal(0, 0.05, (SIZE, SIZE))
    pattern = rng.random()
    y, x = np.indices((SIZE, SIZE))
    if pattern < 0.25:
        value = value * (1 - 0.35 * ((x // int(rng.integers(8, 25))) % 2))
    elif pattern < 0.45:
        period = 48
        diamond = (np.abs(x % period - period // 2) + np.abs(y % period - period // 2)) < 14
        value = value * (1 + 0.5 * diamond)
    return _shade(np.asarray(colour) * 0.85 + 0.06, value)


def grass(rng: Rng) -> np.ndarray:
    """Blades: strong fine noise over slow changes between fresh and dry green."""
    fresh, dry = np.array([0.24, 0.48, 0.13]), np.array([0.50, 0.52, 0.22])
    mix = (rng.uniform(0, 0.7) * smooth_noise(rng, 6, 6))[..., None]
    blades = smooth_noise(rng, 48, 96) * 0.6 + rng.random((SIZE, SIZE)) * 0.5
    return _shade(fresh * (1 - mix) + dry * mix, rng.uniform(0.45, 0.65) + blades)


def white_wall(rng: Rng) -> np.ndarray:
    """Plaster: nearly white, slightly tinted, hardly any structure."""
    base = np.array([0.93, 0.92, 0.89]) * rng.uniform(0.85, 1.05) + rng.normal(0, 0.02, 3)
    value = 0.95 + 0.05 * smooth_noise(rng, 8, 8) + rng.normal(0, 0.01, (SIZE, SIZE))
    return _shade(base, value)


def brick_wall(rng: Rng) -> np.ndarray:
    """Running bond: bricks of slightly different tones in light mortar."""
    rows, columns = 2 * int(rng.integers(4, 7)), int(rng.integers(3, 6))
    palette = np.array(
        [[0.62, 0.25, 0.17], [0.55, 0.33, 0.22], [0.70, 0.52, 0.36], [0.45, 0.2, 0.17]]
    )
    base = palette[rng.integers(len(palette))] + rng.normal(0, 0.03, 3)
    y, x = np.indices((SIZE, SIZE))
    row = y * rows // SIZE
    shifted = (x + (row % 2) * SIZE // (2 * columns)) % SIZE
    column = shifted * columns // SIZE
    tone = rng.uniform(0.75, 1.2, (rows, columns))[row, column]
    value = tone * (0.88 + 0.2 * smooth_noise(rng, 48, 48))
    height, width = SIZE / rows, SIZE / columns
    mortar = ((y % height) < max(1.5, height * 0.14)) | ((shifted % width) < max(1.5, width * 0.06))
    image = np.clip(base * value[..., None], 0, 1)
    image[mortar] = np.array([0.74, 0.72, 0.68]) * rng.uniform(0.75, 1.1)
    return _to_bytes(image)


PLAIN: dict[str, Callable[[Rng], np.ndarray]] = {
    "wooden floor": wooden_floor,
    "tiled floor": tiled_floor,
    "concrete floor": concrete_floor,
    "grass": grass,
    "white wall": white_wall,
    "brick wall": brick_wall,
}
# Metres that one copy of the texture covers.
EXTENT: dict[str, tuple[float, float]] = {
    "wooden floor": (0.8, 1.4),
    "tiled floor": (0.9, 1.6),
    "concrete floor": (1.5, 3.0),
    "carpet": (0.6, 1.2),
    "grass": (0.8, 1.6),
    "white wall": (1.5, 3.0),
    "brick wall": (0.8, 1.3),
}
