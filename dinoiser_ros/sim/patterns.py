# SPDX-License-Identifier: Apache-2.0
"""Surface patterns of objects: (S, S) brightness in [0, 1] that multiplies the object's colour.

Every kind of object has its own, as things have: slats, rings, dots, weave. Amplitude, scale and
phase are random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .textures import smooth_noise

SIZE = 96
Rng = np.random.Generator


def _wave(count: float, phase: float = 0.0) -> np.ndarray:
    """(S,) position within each of ``count`` periods, in [0, 1)."""
    return (np.arange(SIZE) * count / SIZE + phase) % 1.0


def _dark(rng: Rng, mask: np.ndarray) -> np.ndarray:
    """Brightness that is lower, by a random amount, where ``mask`` is set."""
    return 1.0 - rng.uniform(0.45, 0.75) * mask


def dots(rng: Rng) -> np.ndarray:
    """Large dots in a staggered grid: a ball."""
    count = int(rng.integers(2, 4))
    y = _wave(count)[:, None]
    x = (_wave(count)[None, :] + 0.5 * (np.arange(SIZE) * count // SIZE % 2)[:, None]) % 1.0
    return _dark(rng, np.hypot(x - 0.5, y - 0.5) < rng.uniform(0.25, 0.33))


def crate(rng: Rng) -> np.ndarray:
    """A frame around every face and a band across: a box."""
    edge = rng.uniform(0.07, 0.13)
    y, x = np.indices((SIZE, SIZE)) / SIZE
    frame = (np.minimum(x, 1 - x) < edge) | (np.minimum(y, 1 - y) < edge)
    cross = np.abs(x - y) < edge * 0.6
    return _dark(rng, frame | cross)


def rings(rng: Rng) -> np.ndarray:
    """Wide horizontal rings: a barrel."""
    band = _wave(int(rng.integers(4, 7)))[:, None] < rng.uniform(0.3, 0.5)
    return _dark(rng, np.broadcast_to(band, (SIZE, SIZE)))


def weave(rng: Rng) -> np.ndarray:
    """A checkered weave: a chair."""
    cell = _wave(int(rng.integers(7, 10))) < 0.5
    return _dark(rng, cell[:, None] ^ cell[None, :])


def grain(rng: Rng) -> np.ndarray:
    """Long wavy streaks along one side: a table."""
    streaks = smooth_noise(rng, 24, 3, SIZE)
    return _dark(rng, np.clip((streaks - 0.35) * 3, 0, 1))


def planks(rng: Rng) -> np.ndarray:
    """Vertical boards with dark joints: a door."""
    count = int(rng.integers(5, 8))
    tone = rng.uniform(0.75, 1.0, count)[(np.arange(SIZE) * count // SIZE) % count]
    joint = _wave(count) < 0.18
    boards: np.ndarray = np.broadcast_to(tone * _dark(rng, joint), (SIZE, SIZE)).copy()
    return boards


def holes(rng: Rng) -> np.ndarray:
    """Small holes in a regular grid: a perforated shelf."""
    at = _wave(int(rng.integers(9, 13))) - 0.5
    return _dark(rng, np.hypot(at[:, None], at[None, :]) < 0.27)


def stripes(rng: Rng) -> np.ndarray:
    """Narrow horizontal stripes: a shirt."""
    line = _wave(int(rng.integers(9, 14)))[:, None] < 0.45
    return _dark(rng, np.broadcast_to(line, (SIZE, SIZE)))


def veins(rng: Rng) -> np.ndarray:
    """Slanting veins from a bright midrib: a leaf."""
    y, x = np.indices((SIZE, SIZE)) / SIZE
    vein = ((np.abs(x - 0.5) + y) * rng.uniform(8, 12)) % 1.0 < 0.35
    return _dark(rng, vein & (np.abs(x - 0.5) > 0.06))


# Pattern and metres that it covers; None stretches one copy over each face of a part.
PATTERNS: dict[str, tuple[Callable[[Rng], np.ndarray], float | None]] = {
    "ball": (dots, None),
    "box": (crate, None),
    "barrel": (rings, 1.0),
    "chair": (weave, 0.5),
    "table": (grain, 0.8),
    "door": (planks, 1.0),
    "shelf": (holes, 0.7),
    "person": (stripes, 0.7),
    "plant": (veins, 0.4),
}


def pattern(rng: Rng, name: str) -> tuple[np.ndarray, float | None] | None:
    """The texture of an object, (S, S, 3) uint8, and the metres it covers; None for plain ones."""
    if name not in PATTERNS:
        return None
    draw, extent = PATTERNS[name]
    value = draw(rng) * (0.94 + 0.06 * smooth_noise(rng, 12, 12, SIZE))
    grey = (np.clip(value, 0, 1) * 255).astype(np.uint8)
    scale = None if extent is None else extent * rng.uniform(0.8, 1.25)
    return np.repeat(grey[..., None], 3, axis=2), scale
