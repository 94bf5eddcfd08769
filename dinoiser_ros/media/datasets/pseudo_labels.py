# SPDX-License-Identifier: Apache-2.0
"""Pictures and label maps to train a network of `maskclip+` with, from any kind of input.

A pair is a JPEG and, beside it, a PNG of class ids; both as large as the network saw the image. The
ids of a picture are in <name>_labels.png; a video or a bag has a folder <name>_frames of numbered
pairs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.settings import PAIRS, PSEUDO_LABELS
from dinoiser_ros.segmentation import Segmentation
from dinoiser_ros.utils.atomic_files import atomic_write, atomic_write_text

from .sample import Provenance

INDEX = "dinoiser.json"  # is there when all is complete: classes, provenance and names of inputs
_QUALITY = 95  # of JPEG
VIEW, IDS = "view", "ids"


class Pair(NamedTuple):
    """An image and its class ids, as the contents of a JPEG and a PNG."""

    view: bytes
    ids: bytes


def pair_of(image: np.ndarray, result: Segmentation, shorter_side: int | None) -> Pair:
    """An image and its labels as files.

    Args:
        image: (H, W, 3) uint8 RGB.
        result: of this image.
        shorter_side: what larger images are made smaller to (px); None for their own size.
    """
    picture, ids = Image.fromarray(image), Image.fromarray(result.labels)
    scale = shorter_side / min(picture.size) if shorter_side else 1.0
    if scale < 1.0:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        ids = ids.resize(size, Image.Resampling.NEAREST)
    view, labels = io.BytesIO(), io.BytesIO()
    picture.save(view, "JPEG", quality=_QUALITY, subsampling=0)
    ids.save(labels, "PNG")
    return Pair(view.getvalue(), labels.getvalue())


def write_pair(place: Path, pair: Pair) -> None:
    """Write <place>.jpg and <place>_labels.png; where the first is, the second is, too."""
    for path, content in reversed([*zip(_files(place), pair, strict=True)]):
        with atomic_write(path, durable=False) as file:
            file.write_bytes(content)


def _files(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.jpg"), labels_of(place)


def labels_of(place: Path) -> Path:
    """The label map beside a picture, with the picture's path without its suffix."""
    return place.with_name(f"{place.name}_labels.png")


class PairFolder:
    """Numbered pairs.

    Args:
        folder: is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._next = folder, 0

    def add(self, pair: Pair) -> None:
        """Write the next one."""
        for path, content in zip(_files(self._folder / f"{self._next:06d}"), pair, strict=True):
            path.write_bytes(content)
        self._next += 1


@contextmanager
def pair_folder(path: Path) -> Iterator[PairFolder]:
    """A folder of pairs that has its name when it is complete."""
    with atomic_write(path) as place:
        yield PairFolder(place)


def frames_place(output: Path, entry: Input) -> Path:
    """Where the pairs of a video or a bag are."""
    return output / PAIRS.format(entry.name)


def picture_place(output: Path, entry: Input) -> Path:
    """Where the pair of a picture is, without suffix."""
    return output / f"dataset-{PSEUDO_LABELS}" / entry.name


def forget_index(output: Path) -> None:
    """Take away the mark of a complete set before something in it changes."""
    (output / f"dataset-{PSEUDO_LABELS}" / INDEX).unlink(missing_ok=True)


def write_index(output: Path, inputs: Sequence[Input], origin: Provenance) -> None:
    """Mark a set as complete.

    Args:
        output: the folder of results.
        inputs: those that have pairs.
        origin: where the labels come from.
    """
    names = [entry.name for entry in inputs]
    content = {"classes": list(origin.classes), **origin.record, "inputs": names}
    text = json.dumps(content, indent=1)
    atomic_write_text(output / f"dataset-{PSEUDO_LABELS}" / INDEX, text)


def pictures_of(folder: Path, names: Sequence[str]) -> list[Path]:
    """The JPEGs of a complete set, in the order of its inputs."""
    found: list[Path] = []
    for name in names:
        picture = folder / f"{name}.jpg"
        frames = folder / f"{name}_frames"
        found += [picture] if picture.is_file() else sorted(frames.glob("*.jpg"))
    return found
