# SPDX-License-Identifier: Apache-2.0
"""Pictures with their labels, read when their turn comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dinoiser_ros.errors import EvaluationError, PictureError
from dinoiser_ros.pictures.decode import read_picture

from .label_pictures import read_labels


@dataclass(frozen=True)
class Loaded:
    """A picture in memory.

    Attributes:
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8 class ids, 255 where nothing is counted.
        parts: (H, W) bool by name: pixels that are counted a second time, by themselves.
    """

    rgb: np.ndarray
    labels: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """A picture of a benchmark: its name, and how to get it."""

    name: str
    load: Callable[[], Loaded]


def read_pair(picture: Path, label: Path, table: np.ndarray) -> Loaded:
    """Read a picture and its label picture.

    Args:
        table: what the label picture's ids mean, see `label_pictures`.

    Raises:
        EvaluationError: one of them cannot be read, or they are not of one size.
    """
    try:
        rgb = read_picture(picture, upright=False)
    except PictureError as error:
        raise EvaluationError(
            f"The picture {picture} cannot be read ({error}): fetch it again."
        ) from error
    labels = read_labels(label, table)
    if labels.shape != rgb.shape[:2]:
        raise EvaluationError(
            f"{label} has {_size(labels)} pixels but its picture {picture.name} has {_size(rgb)}: "
            "use the label pictures that belong to these pictures."
        )
    return Loaded(rgb, labels)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
