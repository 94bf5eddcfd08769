# SPDX-License-Identifier: Apache-2.0
"""A folder of pictures, without labels and in any layout, as batches of random views."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dinoiser_ros.errors import PictureError, TrainingError
from dinoiser_ros.pictures.decode import read_picture
from dinoiser_ros.pictures.folders import PICTURE_SUFFIXES, is_picture_file
from dinoiser_ros.utils.sentences import first_line


@dataclass(frozen=True)
class Views:
    """How a picture becomes a training view; the defaults are the authors'.

    Attributes:
        shorter_side: pixels that the shorter side is resized to.
        crop: side of the random square cut out of it.
        flip: how often it is mirrored (0 to 1).
        brightness: each picture's brightness is multiplied by something from 1 - this to 1 + this;
            the released code's "colour jitter 0.5" changes nothing but brightness.
    """

    shorter_side: int = 448
    crop: int = 448
    flip: float = 0.5
    brightness: float = 0.5

    def check(self) -> None:
        """Raise TrainingError for crops that do not fit into the pictures."""
        if self.crop > self.shorter_side:
            raise TrainingError(
                f"A crop of {self.crop} pixels does not fit into pictures whose shorter side is "
                f"{self.shorter_side}: use a smaller crop or a larger size."
            )


def find_pictures(folder: Path, at_most: int | None = None, seed: int = 0) -> list[Path]:
    """All pictures in a folder and the folders in it, sorted; links are followed.

    Args:
        at_most: how many to take of them, at random.

    Raises:
        TrainingError: there are none, or a folder cannot be read.
    """
    found, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        found += [path for file in files if is_picture_file(path := Path(place, file))]
    if not found:
        reason = "has no pictures in it" if folder.is_dir() else "is not a folder"
        kinds = ", ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
        raise TrainingError(f"{folder} {reason}: give a folder of pictures ({kinds}).")
    found.sort()
    return at_random(found, at_most, seed)


def at_random(found: list[Path], at_most: int | None, seed: int) -> list[Path]:
    """So many of some paths, in their order; None for all."""
    if at_most is None or at_most >= len(found):
        return found
    chosen = np.random.default_rng([seed, 8]).choice(len(found), at_most, replace=False)
    return [found[index] for index in sorted(chosen)]


def _refuse(error: OSError) -> None:
    """For `os.walk`, which leaves out what it cannot read."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise TrainingError(f"{error.filename} cannot be read: {error.strerror}.") from error


def digest(folder: Path, pictures: list[Path]) -> str:
    """A short text that changes with the names of the pictures, not with the folder's place."""
    names = "\n".join(path.relative_to(folder).as_posix() for path in pictures)
    return hashlib.sha256(os.fsencode(names)).hexdigest()[:16]


def random_view(path: Path, rng: np.random.Generator, views: Views) -> np.ndarray:
    """A picture resized, cropped, mirrored and brightened at random: (crop, crop, 3) uint8.

    Raises:
        TrainingError: the file cannot be read as a picture.
    """
    image = read_training_picture(path)
    return random_window(image.size, rng, views).view(image)


def read_training_picture(path: Path) -> Image.Image:
    """A picture as RGB.

    Raises:
        TrainingError: the file cannot be read as a picture.
    """
    try:
        return Image.fromarray(read_picture(path))
    except PictureError as error:
        raise TrainingError(
            f"{path} cannot be read as a picture ({first_line(error)}): repair it, or remove it "
            "from the folder and start anew."
        ) from error


@dataclass(frozen=True)
class Window:
    """Where a view lies in a picture, and how bright it is.

    Attributes:
        size: width and height that the picture is resized to.
        box: left, upper, right and lower edge in the resized picture.
        is_mirrored: whether left and right change places.
        brightness: what colours are multiplied by.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]
    is_mirrored: bool
    brightness: float

    def view(self, image: Image.Image) -> np.ndarray:
        """The view of a picture: (crop, crop, 3) uint8."""
        view = self.cut(image, Image.Resampling.BILINEAR).astype(np.float32)
        return (view * self.brightness + 0.5).clip(0, 255).astype(np.uint8)

    def cut(self, image: Image.Image, resampling: Image.Resampling) -> np.ndarray:
        """The place of the view in a picture or a label map: (crop, crop, ...), not brightened."""
        view = np.asarray(image.resize(self.size, resampling).crop(self.box))
        return view[:, ::-1] if self.is_mirrored else view


def random_window(size: tuple[int, int], rng: np.random.Generator, views: Views) -> Window:
    """A window drawn at random in a picture of some width and height."""
    scale = views.shorter_side / min(size)
    width, height = (max(views.shorter_side, round(side * scale)) for side in size)
    x = int(rng.integers(0, width - views.crop + 1))
    y = int(rng.integers(0, height - views.crop + 1))
    is_mirrored = bool(rng.random() < views.flip)
    factor = float(rng.uniform(max(0.0, 1 - views.brightness), 1 + views.brightness))
    return Window((width, height), (x, y, x + views.crop, y + views.crop), is_mirrored, factor)


@dataclass(frozen=True)
class FolderBatches(Dataset[Tensor | TrainingError]):
    """The pictures of every step, for a DataLoader without automatic batching.

    Each view is drawn from a generator of its own, (seed, number), and the order of an epoch from
    (seed, epoch): a resumed run sees what an unbroken one sees, and several processes together what
    a single one sees.

    Attributes:
        batch: pictures of a step, in all processes together.
        rank, size: which of how many processes this one is; `size` divides `batch`.
    """

    pictures: list[Path]
    views: Views
    batch: int
    seed: int
    rank: int = 0
    size: int = 1

    def __getitem__(self, step: int) -> Tensor | TrainingError:
        """This process's part (b, crop, crop, 3) uint8 of a step, or why there is none.

        An error is returned, not raised: on its way out of a DataLoader's process it would become
        a page of text.
        """
        numbers = range(step * self.batch + self.rank, (step + 1) * self.batch, self.size)
        try:
            return torch.from_numpy(np.stack([self._view(number) for number in numbers]))
        except TrainingError as error:
            return error

    def read(self, steps: range, workers: int = 0, pinned: bool = False) -> Iterator[Tensor]:
        """This process's part of each of some steps, read ahead by processes aside.

        Args:
            workers: how many processes.
            pinned: put them where a GPU gets them sooner.

        Raises:
            TrainingError: a picture cannot be read.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pinned,
        )
        for item in loader:
            if isinstance(item, TrainingError):
                raise item
            yield item

    def _view(self, number: int) -> np.ndarray:
        return random_view(*self._drawn(number), self.views)

    def _drawn(self, number: int) -> tuple[Path, np.random.Generator]:
        """The picture of a view, and what the view is drawn with."""
        epoch, position = divmod(number, len(self.pictures))
        path = self.pictures[_order(len(self.pictures), self.seed, epoch)[position]]
        return path, np.random.default_rng([self.seed, 7, number])


def _as_it_is(item: object) -> object:
    return item


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """In what order an epoch takes the pictures: (count,) indices."""
    return np.random.default_rng([seed, 6, epoch]).permutation(count)
