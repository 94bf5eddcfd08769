# SPDX-License-Identifier: Apache-2.0
"""Which classes are things that can be counted, and which are stuff: floors, walls, sky."""

from __future__ import annotations

from collections.abc import Sequence

from dinoiser_ros.utils.texts import same_look

_STUFF = """
    background other nothing void unlabeled unknown
    floor carpet rug tile parquet ground terrain wall ceiling roof building
    road street lane pavement sidewalk path track asphalt tarmac concrete gravel cobblestone
    grass lawn meadow field dirt soil earth mud sand snow ice
    water river lake sea ocean sky cloud mountain hill forest vegetation foliage
"""
STUFF = frozenset(_STUFF.split())
"""Last words of the names of stuff, in the sense of COCO-Stuff (Caesar et al., CVPR 2018)."""


def is_stuff(name: str) -> bool:
    """Whether a class is stuff by its name: "wooden floor" and "walls" are, "person" is not."""
    words = same_look(name).split()
    return bool(words) and (words[-1] in STUFF or words[-1].removesuffix("s") in STUFF)


def things(names: Sequence[str], chosen: Sequence[str]) -> list[bool]:
    """Which classes give objects.

    Args:
        names: of the classes.
        chosen: names of those that do; empty for all that are not stuff.
    """
    wanted = {same_look(name) for name in chosen}
    if not wanted:
        return [not is_stuff(name) for name in names]
    return [same_look(name) in wanted for name in names]
