# SPDX-License-Identifier: Apache-2.0
"""What stands in a scene: class and colour of each thing, and random colours for objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .classes import COLOUR_NAMES, COLOURS, TYPICAL_COLOURS, is_held_out, nearest_colour

Rng = np.random.Generator
SKY_THING = 0


@dataclass
class Thing:
    """Something with a class in a scene: a surface or an object. ``colour`` None: no name fits."""

    class_id: int
    colour: str | None = None


def paint(rng: Rng, name: str) -> tuple[str | None, np.ndarray]:
    """A colour for an object: its name (None if it fits no name well) and its RGB in [0, 1].

    Never one of the held-out pairs, nor a nameless colour that comes close to one.
    """
    while True:
        if rng.random() < 0.75:
            choice = TYPICAL_COLOURS.get(name) if rng.random() < 0.3 else None
            choice = choice or COLOUR_NAMES
            colour = choice[rng.integers(len(choice))]
            rgb = np.clip(
                np.array(COLOURS[colour]) * rng.uniform(0.8, 1.15) + rng.normal(0, 0.03, 3), 0, 1
            )
            if nearest_colour(rgb) != colour:
                continue
        else:
            rgb = rng.random(3)
            colour = None
        if not is_held_out(nearest_colour(rgb), name):
            return colour, rgb
