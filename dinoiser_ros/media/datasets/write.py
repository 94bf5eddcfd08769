# SPDX-License-Identifier: Apache-2.0
"""The data sets that `dinoiser segment --save` asks for, made of label maps that are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import PICTURE, Input
from dinoiser_ros.media.optional import require
from dinoiser_ros.utils.atomic_files import atomic_write

from . import cityscapes, coco, parquet, yolo
from .sample import Provenance, Sample

_ORIGIN = "dinoiser.json"  # in every data set, by which it is known as one that was made here
_WRITE: dict[str, Callable[[Path, Iterable[Sample], Provenance], None]] = {
    "coco-panoptic": coco.write_panoptic,
    "coco-rle": coco.write_rle,
    "cityscapes": cityscapes.write,
    "yolo-seg": yolo.write,
    "parquet": parquet.write,
}


def check_formats(formats: Sequence[str], classes: Sequence[str], output: Path) -> None:
    """Find out before hours have passed whether data sets can be written.

    Args:
        formats: of `settings.DATASETS`.
        classes: names, in the order of the ids.
        output: the folder of results.

    Raises:
        MediaError: one cannot; it says what to do.
    """
    if "cityscapes" in formats:
        cityscapes.check(classes)
    if "yolo-seg" in formats:
        require("data sets of YOLO", {"cv2": "opencv-python-headless"}, "video")
    if "parquet" in formats:
        require("Parquet files", {"pyarrow": "pyarrow"}, "parquet")
    for name in formats:
        _check_own(place_of(output, name))


def place_of(output: Path, name: str) -> Path:
    """Where the data set of a format is written."""
    return output / f"dataset-{name}"


def write_datasets(
    formats: Sequence[str], output: Path, inputs: Iterable[Input], provenance: Provenance
) -> list[str]:
    """Write a data set for each format, of all pictures that have a label map.

    Args:
        formats: of `settings.DATASETS`.
        output: the folder of results, in which label maps are.
        inputs: what was segmented.
        provenance: where the labels come from.

    Returns:
        A sentence about what is in no data set, if there is something.

    Raises:
        DinoiserError, OSError: one cannot be written; then that is as it was.
    """
    samples, others = [], 0
    for entry in inputs:
        labels = output / f"{entry.name}_labels.png"
        if entry.kind == PICTURE and labels.is_file():
            samples.append(Sample(entry.path, entry.name, labels))
        else:
            others += 1
    for name in formats if samples else ():
        place = place_of(output, name)
        _check_own(place)
        with atomic_write(place) as folder:
            folder.mkdir()
            _WRITE[name](folder, samples, provenance)
            content = {"classes": list(provenance.classes), **provenance.record}
            (folder / _ORIGIN).write_text(json.dumps(content, indent=1), encoding="utf-8")
    if not others:
        return []
    return [f"{others} of the inputs are in no data set: only pictures are, and no animations."]


def _check_own(place: Path) -> None:
    if place.exists() and not (place / _ORIGIN).is_file():
        raise MediaError(f"{place} is a folder of other files: move it, or give another with -o.")
