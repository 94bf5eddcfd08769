# SPDX-License-Identifier: Apache-2.0
"""What exists in the simulated world: class ids, colours, the pairs of them held back."""

from __future__ import annotations

import numpy as np

CLASSES: tuple[str, ...] = (
    "wooden floor",
    "tiled floor",
    "concrete floor",
    "carpet",
    "grass",
    "white wall",
    "brick wall",
    "sky",
    "ball",
    "box",
    "traffic cone",
    "person",
    "chair",
    "table",
    "door",
    "plant",
    "shelf",
    "barrel",
)
CLASS_IDS: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}
UNLABELLED = 255

FLOORS = ("wooden floor", "tiled floor", "concrete floor", "carpet", "grass")
WALLS = ("white wall", "brick wall")
OBJECTS = CLASSES[CLASS_IDS["ball"] :]
OBJECT_IDS = tuple(CLASS_IDS[name] for name in OBJECTS)

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.10, 0.10),
    "orange": (0.95, 0.48, 0.08),
    "yellow": (0.93, 0.83, 0.12),
    "green": (0.12, 0.58, 0.18),
    "blue": (0.12, 0.25, 0.78),
    "purple": (0.48, 0.16, 0.62),
    "pink": (0.93, 0.48, 0.66),
    "brown": (0.42, 0.26, 0.13),
    "white": (0.92, 0.92, 0.90),
    "grey": (0.50, 0.50, 0.52),
    "black": (0.07, 0.07, 0.08),
}
COLOUR_NAMES = tuple(COLOURS)

# Objects whose main colour varies. A person's is that of the clothes; a plant is green and has
# none.
COLOURED = ("ball", "box", "traffic cone", "person", "chair", "table", "door", "shelf", "barrel")

# What some objects mostly are in the world that people know; the others have no usual colour.
TYPICAL_COLOURS: dict[str, tuple[str, ...]] = {
    "box": ("brown",),
    "traffic cone": ("orange",),
    "table": ("brown", "white"),
    "door": ("brown", "white", "grey"),
    "shelf": ("grey", "black"),
    "barrel": ("blue", "red"),
}

# Never rendered for training or validation; some held-out frames show them.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("blue", "ball"),
        ("red", "box"),
        ("yellow", "barrel"),
        ("green", "chair"),
        ("purple", "door"),
        ("blue", "table"),
        ("pink", "traffic cone"),
        ("orange", "shelf"),
    }
)


def nearest_colour(rgb: np.ndarray) -> str:
    """The colour name closest to ``rgb`` (3 values in [0, 1]), by Euclidean distance in RGB."""
    references = np.array(list(COLOURS.values()))
    return COLOUR_NAMES[int(((references - np.asarray(rgb)) ** 2).sum(axis=1).argmin())]


def is_held_out(colour: str | None, name: str) -> bool:
    """Whether ``name`` in ``colour`` is one of the pairs that training never shows."""
    return (colour, name) in HELD_OUT_PAIRS
