# SPDX-License-Identifier: Apache-2.0
"""From the label pictures on disk to class ids: one table of 256 entries for each kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation.metrics.confusion import IGNORED

UNKNOWN = -1  # in a table: an id that files of this benchmark never hold
_NO_CLASS = 255  # in files: pixels without a class, in every one of these data sets


def as_they_are(classes: int) -> np.ndarray:
    """Table for files that hold the class ids 0..classes - 1.

    Returns:
        (256,) int16: class id, `IGNORED` or `UNKNOWN` for each value in the file.
    """
    table = np.full(256, UNKNOWN, np.int16)
    table[:classes] = np.arange(classes)
    table[_NO_CLASS] = IGNORED
    return table


def without_first(classes: int) -> np.ndarray:
    """Table for files whose 0 is not counted and whose 1..classes are the classes."""
    table = as_they_are(classes + 1)
    table[0] = IGNORED
    table[1 : classes + 1] = np.arange(classes)
    return table


def things_only(things: int, files_classes: int) -> np.ndarray:
    """Table for COCO-Object out of COCO-Stuff's files: 0 is background, then come the things.

    The literature (GroupViT, arXiv 2202.11094, and those who compare with it) makes COCO-Object
    from COCO-Stuff's pixel labels: all stuff, and pixels without a label as well, are background.

    Args:
        things: how many of the files' classes, the first ones, are things (80).
        files_classes: how many classes the files hold (171).
    """
    table = as_they_are(files_classes)
    table[things:files_classes] = 0
    table[:things] = np.arange(1, things + 1)
    table[_NO_CLASS] = 0
    return table


def read_labels(path: Path, table: np.ndarray) -> np.ndarray:
    """Class ids of a label picture.

    Args:
        path: a picture of one channel; of a palette picture the indices count, not the colours.
        table: (256,) from one of the functions above.

    Returns:
        (H, W) uint8 class ids, `IGNORED` where nothing is counted.

    Raises:
        EvaluationError: no picture of ids, or it holds an id that the benchmark does not have.
    """
    try:
        with Image.open(path) as file:
            ids = np.asarray(file)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise EvaluationError(
            f"The label picture {path} cannot be read ({error}): fetch or make it again."
        ) from error
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        raise EvaluationError(
            f"{path} holds colours: give label pictures of one channel whose values are class ids."
        )
    # Values beyond a byte exist in 16-bit files only and are as unknown as the others.
    mapped = np.where((ids >= 0) & (ids < 256), table[np.clip(ids, 0, 255)], UNKNOWN)
    if (mapped == UNKNOWN).any():
        raise EvaluationError(
            f"{path} holds the id {int(ids[mapped == UNKNOWN][0])}, which this benchmark does not "
            "have: convert the labels as the README says."
        )
    return mapped.astype(np.uint8)
