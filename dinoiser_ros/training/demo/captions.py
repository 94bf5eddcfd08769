# SPDX-License-Identifier: Apache-2.0
"""Captions: words for what is visible, and for which other regions the same words would be true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dinoiser_ros.sim.classes import CLASS_IDS, CLASSES, COLOUR_NAMES, FLOORS, WALLS

Rng = np.random.Generator
NO_COLOUR = len(COLOUR_NAMES)
ENTITY_SHAPE = (len(CLASSES), len(COLOUR_NAMES) + 1)

# Other words for a class, used for a third of its mentions.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "wooden floor": ("wood floor", "parquet", "wooden planks", "hardwood floor"),
    "tiled floor": ("tile floor", "floor tiles", "tiles"),
    "concrete floor": ("concrete", "cement floor", "concrete ground", "asphalt"),
    "carpet": ("rug", "carpeted floor", "mat"),
    "grass": ("lawn", "meadow", "green grass"),
    "white wall": ("plaster wall", "painted wall", "plain wall"),
    "brick wall": ("bricks", "wall of bricks", "red brick wall"),
    "sky": ("blue sky", "clear sky"),
    "ball": ("sphere", "round ball"),
    "box": ("cardboard box", "crate", "package"),
    "traffic cone": ("cone", "safety cone", "pylon"),
    "person": ("human", "pedestrian", "man", "somebody"),
    "chair": ("seat", "wooden chair"),
    "table": ("desk", "dining table"),
    "door": ("closed door", "doorway"),
    "plant": ("potted plant", "houseplant", "leaves"),
    "shelf": ("rack", "bookshelf", "shelves"),
    "barrel": ("drum", "oil drum", "metal barrel"),
}
# Words that are true of several classes.
GENERIC: dict[str, tuple[str, ...]] = {
    "floor": FLOORS,
    "ground": FLOORS,
    "wall": WALLS,
    "furniture": ("chair", "table", "shelf"),
}
NO_ARTICLE = {"carpet", "grass", "sky"} | set(FLOORS) | set(WALLS)
JOINTS = (" and ", " with ", ", ", " next to ", " in front of ", " near ", " on ")
FRAMES = (
    "{}",
    "{}",
    "{}",
    "a photo of {}",
    "a picture of {}",
    "there is {}",
    "{} in the image",
    "a view of {}",
    "a close view of {}",
    "the {}",
    "{} seen by a robot",
    "a part of {}",
)


@dataclass(frozen=True)
class Claim:
    """Words that are true where one of ``classes`` is visible, in ``colour`` (None: in any)."""

    words: str
    classes: tuple[int, ...]
    colour: int | None


@dataclass(frozen=True)
class Caption:
    """A sentence and the claims that it makes."""

    text: str
    claims: tuple[Claim, ...]


def make_claim(rng: Rng, class_id: int, colour: int) -> Claim:
    """Words for one visible thing; its colour is named in half the cases where it has a name.

    Args:
        class_id: index into CLASSES.
        colour: index into COLOUR_NAMES, or NO_COLOUR.
    """
    name, classes = CLASSES[class_id], (class_id,)
    generic = [word for word, members in GENERIC.items() if name in members]
    draw = rng.random()
    if draw < 0.06 and generic:
        word = generic[rng.integers(len(generic))]
        return Claim(word, tuple(CLASS_IDS[member] for member in GENERIC[word]), None)
    words = name
    if draw > 0.7:
        words = SYNONYMS[name][rng.integers(len(SYNONYMS[name]))]
    if colour == NO_COLOUR or rng.random() < 0.5:
        return Claim(words, classes, None)
    shade = COLOUR_NAMES[colour]
    if name == "person":
        words += (f" in {shade}", f" in a {shade} shirt", f" wearing {shade} clothes")[
            rng.integers(3)
        ]
    else:
        words = f"{shade} {words}"
    return Claim(words, classes, colour)


def with_article(words: str) -> str:
    """``words`` with "a" or "an" in front unless it is a material."""
    if any(words.endswith(name) for name in NO_ARTICLE):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def bare_name(rng: Rng, class_id: int, templates: tuple[str, ...]) -> str:
    """A sentence that names one class and nothing else; a synonym in a fifth of the cases."""
    words = CLASSES[class_id]
    if rng.random() < 0.2:
        words = SYNONYMS[words][rng.integers(len(SYNONYMS[words]))]
    return templates[rng.integers(len(templates))].format(words)


def compose(rng: Rng, entities: list[tuple[int, int]], templates: tuple[str, ...]) -> Caption:
    """A caption of up to three entities (class id, colour), the most visible one first.

    Single things are put into one of CLIP's own ``templates`` half of the time, so that the text
    tower knows them.
    """
    claims = tuple(make_claim(rng, *entity) for entity in entities[:3])
    if len(claims) == 1 and rng.random() < 0.5:
        return Caption(templates[rng.integers(len(templates))].format(claims[0].words), claims)
    article = rng.random() < 0.7
    words = [with_article(claim.words) if article else claim.words for claim in claims]
    text = words[0]
    for word in words[1:]:
        text += JOINTS[rng.integers(len(JOINTS))] + word
    return Caption(FRAMES[rng.integers(len(FRAMES))].format(text), claims)


def truth(visible: np.ndarray, captions: list[Caption]) -> np.ndarray:
    """Which captions could be said of which regions.

    Args:
        visible: (R, classes, colours + 1) bool, what can be seen at all in each region.

    Returns:
        (R, C) bool. A colour is also held possible where the thing has a colour without a name, so
        that such regions are never used as counterexamples.
    """
    claims = {
        claim: index
        for index, claim in enumerate({c for caption in captions for c in caption.claims})
    }
    holds = np.zeros((len(visible), len(claims)), bool)
    for claim, index in claims.items():
        part = visible[:, list(claim.classes)]
        if claim.colour is not None:
            part = part[:, :, [claim.colour, NO_COLOUR]]
        holds[:, index] = part.any(axis=(1, 2))
    needed = np.zeros((len(captions), len(claims)), np.float32)
    for row, caption in enumerate(captions):
        for claim in caption.claims:
            needed[row, claims[claim]] = 1
    missing = (~holds).astype(np.float32) @ needed.T
    possible: np.ndarray = missing == 0
    return possible
