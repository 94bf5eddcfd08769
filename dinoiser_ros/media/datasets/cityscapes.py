# SPDX-License-Identifier: Apache-2.0
"""Cityscapes: its folders, names of files and label ids (arXiv 1604.01685).

Loaders of Cityscapes read it as it is. The classes have to be among those of Cityscapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dinoiser_ros.errors import MediaError

from .sample import Provenance, Sample

# Id and train id, of cityscapesScripts' labels.py; 255 is not trained with.
LABELS = {
    "unlabeled": (0, 255), "background": (0, 255), "dynamic": (5, 255), "ground": (6, 255),
    "road": (7, 0), "sidewalk": (8, 1), "parking": (9, 255), "rail track": (10, 255),
    "building": (11, 2), "wall": (12, 3), "fence": (13, 4), "guard rail": (14, 255),
    "bridge": (15, 255), "tunnel": (16, 255), "pole": (17, 5), "polegroup": (18, 255),
    "traffic light": (19, 6), "traffic sign": (20, 7), "vegetation": (21, 8), "terrain": (22, 9),
    "sky": (23, 10), "person": (24, 11), "rider": (25, 12), "car": (26, 13), "truck": (27, 14),
    "bus": (28, 15), "caravan": (29, 255), "trailer": (30, 255), "train": (31, 16),
    "motorcycle": (32, 17), "bicycle": (33, 18),
}  # fmt: skip
_SPLIT = "train"
_CITY = "pictures"  # of pictures that are in no folder


def check(classes: Sequence[str]) -> None:
    """Raise MediaError if a class is none of Cityscapes'."""
    unknown = [name for name in classes if name not in LABELS]
    if unknown:
        raise MediaError(
            f"Cityscapes has no class {', '.join(unknown)}: name prompts after one of "
            f"{', '.join(LABELS)}, as in 'vegetation: tree, bush'."
        )


def write(folder: Path, samples: Iterable[Sample], provenance: Provenance) -> None:
    """Write leftImg8bit/train/<city>/ and gtFine/train/<city>/ with labelIds and labelTrainIds.

    The folder of a picture is its city.

    Raises:
        MediaError: two pictures would have the same name.
    """
    for sample in samples:
        parent, _, name = sample.name.rpartition("/")
        city = parent.replace("/", "_") or _CITY
        picture = folder / "leftImg8bit" / _SPLIT / city / f"{name}_leftImg8bit.png"
        if picture.exists():
            raise MediaError(f"two pictures would be called {city}/{name}: rename a folder.")
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.pixels()).save(picture)
        labels = sample.labels()
        truth = folder / "gtFine" / _SPLIT / city
        truth.mkdir(parents=True, exist_ok=True)
        for column, kind in enumerate(("labelIds", "labelTrainIds")):
            table = np.full(np.iinfo(labels.dtype).max + 1, (0, 255)[column], np.uint8)
            for number, label in enumerate(provenance.classes):
                table[number] = LABELS[label][column]
            Image.fromarray(table[labels]).save(truth / f"{name}_gtFine_{kind}.png")
