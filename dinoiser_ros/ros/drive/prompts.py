# SPDX-License-Identifier: Apache-2.0
"""What the node of the drive is asked for, before and after grass is forbidden."""

from __future__ import annotations

from dinoiser_ros.sim.navigation.clouds import GROUND, LYING, STANDING, Source

_FLOORS = "concrete floor, tiled floor, wooden floor, carpet"
_OTHERS = (
    "wall: white wall, brick wall",
    "ball",
    "box",
    "traffic cone",
    "person",
    "door",
    "plant",
    "shelf",
    "barrel",
    "sky",
)
GRASS_IS_GROUND = (f"ground: {_FLOORS}, grass", *_OTHERS)
GRASS_IS_FORBIDDEN = (f"ground: {_FLOORS}", *_OTHERS, "grass")

OBSTACLES: dict[str, Source] = {"obstacles/danger": STANDING, "obstacles/forbidden": LYING}
"""Topics whose points are marked, below the node's name, and which of their points count."""
FREE: dict[str, Source] = {"ground/free": GROUND}
"""The same of those that are cleared."""
