# SPDX-License-Identifier: Apache-2.0
"""Small data sets in the layouts that users have on disk, and a segmenter that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

# Odd, wide and tall: (height, width).
SIZES = ((7, 11), (13, 6), (9, 9))


def save_picture(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    """A random RGB picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save_labels(path: Path, ids: np.ndarray, palette: bool = False) -> None:
    """A label picture: grey, or with a palette of colours that have nothing to do with the ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(ids.astype(np.uint8))
    if palette:
        colours = np.random.default_rng(9).integers(0, 256, 768, np.uint8)
        picture.putpalette(colours.tolist())
    picture.save(path)


def random_ids(size: tuple[int, int], values: Sequence[int], seed: int) -> np.ndarray:
    """(H, W) uint8 with every one of the values that there is room for."""
    random = np.random.default_rng(seed)
    ids = random.choice(values, size)
    flat = ids.reshape(-1)
    some = random.permutation(np.asarray(values))[: flat.size]
    flat[random.permutation(flat.size)[: len(some)]] = some
    return ids.astype(np.uint8)


def write_voc(root: Path) -> dict[str, np.ndarray]:
    """VOC 2012: palette pictures with ids 0 to 20 and 255 at borders, and a list of names."""
    truths = {}
    for number, size in enumerate(SIZES):
        name = f"2007_00{number}"
        truths[name] = random_ids(size, [*range(21), 255], number)
        save_picture(root / "JPEGImages" / f"{name}.jpg", size, number)
        save_labels(root / "SegmentationClass" / f"{name}.png", truths[name], palette=True)
    save_picture(root / "JPEGImages" / "not_in_the_list.jpg", (5, 5))
    write_list(root / "ImageSets" / "Segmentation" / "val.txt", list(truths))
    return truths


def write_context(root: Path) -> dict[str, np.ndarray]:
    """Pascal Context: ids 0 to 59."""
    truths = {}
    for number, size in enumerate(SIZES):
        name = f"2008_00{number}"
        truths[name] = random_ids(size, range(60), number)
        save_picture(root / "JPEGImages" / f"{name}.jpg", size, number)
        save_labels(root / "SegmentationClassContext" / f"{name}.png", truths[name])
    write_list(root / "ImageSets" / "SegmentationContext" / "val.txt", list(truths))
    return truths


def write_coco(root: Path) -> dict[str, np.ndarray]:
    """COCO-Stuff 164k after conversion: ids 0 to 170 and 255; raw labels lie beside them."""
    truths = {}
    for number, size in enumerate(((14, 13), (17, 12))):
        name = f"00000000{number}"
        truths[name] = random_ids(size, [*range(171), 255], number)
        save_picture(root / "images" / "val2017" / f"{name}.jpg", size, number)
        folder = root / "annotations" / "val2017"
        save_labels(folder / f"{name}_labelTrainIds.png", truths[name])
        save_labels(folder / f"{name}.png", np.full(size, 181))
    return truths


def write_cityscapes(root: Path) -> dict[str, np.ndarray]:
    """Cityscapes: a folder for each city, ids 0 to 18 and 255; other label files lie there too."""
    truths = {}
    for number, city in enumerate(("lindau", "frankfurt")):
        size, name = SIZES[number], f"{city}/{city}_00000{number}"
        truths[name] = random_ids(size, [*range(19), 255], number)
        save_picture(root / "leftImg8bit" / "val" / f"{name}_leftImg8bit.png", size, number)
        labels = root / "gtFine" / "val"
        save_labels(labels / f"{name}_gtFine_labelTrainIds.png", truths[name])
        save_labels(labels / f"{name}_gtFine_labelIds.png", np.full(size, 33))
    return dict(sorted(truths.items()))


def write_ade(root: Path) -> dict[str, np.ndarray]:
    """ADE20K: ids 0 (not counted) to 150."""
    truths = {}
    for number, size in enumerate(((12, 13), (19, 11))):
        name = f"ADE_val_0000000{number}"
        truths[name] = random_ids(size, range(151), number)
        save_picture(root / "images" / "validation" / f"{name}.jpg", size, number)
        save_labels(root / "annotations" / "validation" / f"{name}.png", truths[name])
    return truths


def write_list(path: Path, names: Sequence[str]) -> None:
    """A list file, with the blank line at its end that such files may have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n\n", encoding="utf-8")
