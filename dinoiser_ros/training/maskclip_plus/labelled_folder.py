# SPDX-License-Identifier: Apache-2.0
"""A folder that `dinoiser segment --save pseudo-labels` made: pictures whose labels are known."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.media.datasets.pseudo_labels import INDEX, labels_of, pictures_of
from dinoiser_ros.option_schema import ModelOptions
from dinoiser_ros.training.common.image_folder import (
    FolderBatches,
    random_window,
    read_training_picture,
)

from .pseudo_labels import IGNORED

# What of the command that labelled says which text embeddings the classes have.
_OF_THE_MODEL = ("model", "weights", "heads", "dino", "diffusion", "examples_file")
_NONE = 65535  # the id of an unsure pixel in a view


def has_labels(folder: Path) -> bool:
    """Whether a folder has labels beside its pictures."""
    return (folder / INDEX).is_file()


def read_record(folder: Path) -> dict[str, Any]:
    """What is known of a labelled folder: "inputs", "prompts", "model", "method" and so on.

    Raises:
        TrainingError: it is another data set, or damaged.
    """
    try:
        record = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if all(isinstance(record[name], list) for name in ("inputs", "prompts")):
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise TrainingError(
        f"{folder / INDEX} is not of 'dinoiser segment --save pseudo-labels': give a folder that "
        "this made, or one of pictures."
    )


def labelled_pictures(folder: Path) -> list[Path]:
    """The pictures of a labelled folder.

    Raises:
        TrainingError: there are none, or as in `read_record`.
    """
    if found := pictures_of(folder, read_record(folder)["inputs"]):
        return found
    raise TrainingError(f"{folder} has no pictures in it: segment them again with --fresh.")


def as_labelled(given: argparse.Namespace) -> argparse.Namespace:
    """A command line with the prompts and the model that the labels of its folder were made with.

    Raises:
        TrainingError: it names others.
    """
    record = read_record(given.pictures)
    if given.prompts and given.prompts != record["prompts"]:
        raise TrainingError(
            f"{given.pictures} was labelled with other prompts: leave --prompts out."
        )
    chosen: dict[str, Any] = {"prompts": record["prompts"], "teacher_method": record["method"]}
    for name in _OF_THE_MODEL:
        usual = getattr(ModelOptions, name)
        chosen[name] = record.get(name, usual)
        if getattr(given, name) not in (usual, chosen[name]):
            option = f"--{name.replace('_', '-')}"
            raise TrainingError(
                f"{given.pictures} was labelled with {option} {chosen[name]}: leave {option} out."
            )
    return argparse.Namespace(**{**vars(given), **chosen})


@dataclass(frozen=True)
class LabelledBatches(FolderBatches):
    """`FolderBatches` whose views have five channels: RGB, and the class id in two bytes."""

    def _view(self, number: int) -> np.ndarray:
        path, rng = self._drawn(number)
        image = read_training_picture(path)
        window = random_window(image.size, rng, self.views)
        ids = window.cut(_read_ids(path), Image.Resampling.NEAREST)
        unsure = ids == np.iinfo(ids.dtype).max
        ids = np.where(unsure, _NONE, ids.astype(np.uint16))
        return np.dstack([window.view(image), ids & 255, ids >> 8]).astype(np.uint8)


def _read_ids(picture: Path) -> Image.Image:
    path = labels_of(picture.with_suffix(""))
    try:
        ids: Image.Image = Image.open(path)
        ids.load()
        return ids
    except Exception as error:  # whatever Pillow makes of a damaged file
        raise TrainingError(
            f"{path} cannot be read as a label map ({error}): segment the pictures again with "
            "--fresh."
        ) from error


def split(views: Tensor) -> tuple[Tensor, Tensor]:
    """Views of `LabelledBatches` as pictures and labels.

    Args:
        views: (B, H, W, 5) uint8.

    Returns:
        (B, H, W, 3) uint8 and (B, H, W) int64, `IGNORED` where unsure.
    """
    ids = views[..., 3].long() + 256 * views[..., 4].long()
    return views[..., :3].contiguous(), ids.masked_fill(ids == _NONE, IGNORED)
