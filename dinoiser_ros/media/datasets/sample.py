# SPDX-License-Identifier: Apache-2.0
"""A picture with its labels, as every data set format reads it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dinoiser_ros.pictures.decode import PictureFile

_KEPT = frozenset({".jpg", ".jpeg", ".png"})  # files that a data set takes as they are
_ORIENTATION = 0x0112  # a tag of EXIF


@dataclass(frozen=True)
class Sample:
    """A picture that was segmented.

    Attributes:
        picture: its file.
        name: with "/" between folders, without suffix; no other sample has it.
        labels_file: its label map, a PNG.
    """

    picture: Path
    name: str
    labels_file: Path

    def labels(self) -> np.ndarray:
        """(H, W) class ids, as `Segmentation.labels`."""
        with Image.open(self.labels_file) as file:
            return np.asarray(file)

    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, of the size of the labels."""
        with PictureFile(self.picture) as file:
            return file.read()

    def put_picture(self, folder: Path) -> str:
        """Put the picture into a data set; returns its name there, with "/" between folders.

        A JPEG or PNG of 8 bits becomes a hard link or, on another file system, a copy; whatever
        loaders would read otherwise than it was segmented, a PNG of what was segmented.
        """
        as_it_is = self._is_plain()
        name = f"{self.name}{self.picture.suffix.lower() if as_it_is else '.png'}"
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not as_it_is:
            Image.fromarray(self.pixels()).save(place)
            return name
        try:
            os.link(os.path.realpath(self.picture), place)
        except OSError:
            shutil.copyfile(self.picture, place)
        return name

    def _is_plain(self) -> bool:
        if self.picture.suffix.lower() not in _KEPT:
            return False
        with Image.open(self.picture) as file:
            upright = file.getexif().get(_ORIENTATION, 1) == 1
            return upright and file.mode in ("L", "RGB")


@dataclass(frozen=True)
class Region:
    """All pixels of a class in a picture.

    Attributes:
        category: the class id.
        mask: (H, W) bool.
        area: how many pixels it has.
        box: left, top, width and height in pixels.
    """

    category: int
    mask: np.ndarray
    area: int
    box: tuple[int, int, int, int]


def regions(labels: np.ndarray, classes: int) -> Iterator[Region]:
    """The classes that a label map has, in the order of their ids; not the pixels without one."""
    for category in np.unique(labels):
        if category < classes:
            mask = labels == category
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)
            left, top, width, height = map(int, box)
            yield Region(int(category), mask, int(mask.sum()), (left, top, width, height))


@dataclass(frozen=True)
class Provenance:
    """Where labels come from: it is written into every data set.

    Attributes:
        classes: the names of the classes, in the order of their ids.
        record: model, method, options, prompts and versions, as JSON values.
    """

    classes: Sequence[str]
    record: dict[str, object]
