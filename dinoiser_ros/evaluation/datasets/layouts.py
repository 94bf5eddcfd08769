# SPDX-License-Identifier: Apache-2.0
"""Where data sets keep their files: a folder as users have it -> pairs of picture and label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.errors import EvaluationError


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk, in the folders that MMSegmentation's users have.

    Attributes:
        places: folders that the data set may be in, below the one that the user names.
        pictures, labels: folders below that place.
        picture_end, label_end: what follows a picture's name in each of them.
        list_file: below the place, one picture's name a line; None: all pictures there are count.
        advice: how to come by the label pictures.
    """

    places: tuple[str, ...]
    pictures: str
    labels: str
    picture_end: str
    label_end: str
    list_file: str | None
    advice: str

    def find(self, folder: Path) -> list[tuple[str, Path, Path]]:
        """Name, picture and label of every sample, sorted as the list has them, else by name.

        Args:
            folder: the data set's own folder, or one that it lies in as `places` says.

        Raises:
            EvaluationError: a folder, the list or a file named by it is not there.
        """
        root = self._place(folder)
        names = self._listed(root / self.list_file) if self.list_file else self._present(root)
        found = []
        for name in names:
            picture = root / self.pictures / f"{name}{self.picture_end}"
            label = root / self.labels / f"{name}{self.label_end}"
            self._check(name, picture, label)
            found.append((name, picture, label))
        return found

    def _place(self, folder: Path) -> Path:
        """The first place below a folder that has the pictures."""
        for place in self.places:
            if (folder / place / self.pictures).is_dir():
                return folder / place
        raise EvaluationError(
            f"{folder} has no {_any_of(self.places, self.pictures)}: give the folder of this "
            "benchmark with --data."
        )

    def _listed(self, path: Path) -> Sequence[str]:
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise EvaluationError(
                f"The list of pictures {path} cannot be read ({error}): fetch the data set again."
            ) from error
        names = [name for name in names if name]
        if not names:
            raise EvaluationError(f"The list of pictures {path} is empty: fetch it again.")
        return names

    def _present(self, root: Path) -> Sequence[str]:
        folder = root / self.pictures
        paths = folder.rglob(f"*{self.picture_end}")  # Cityscapes has a folder for each city
        names = sorted(path.relative_to(folder).as_posix() for path in paths)
        if not names:
            raise EvaluationError(
                f"{folder} has no picture *{self.picture_end}: fetch the data set again."
            )
        return [name.removesuffix(self.picture_end) for name in names]

    def _check(self, name: str, picture: Path, label: Path) -> None:
        if not picture.is_file():
            raise EvaluationError(
                f"{self.list_file} names {name}, but there is no {picture}: fetch the pictures "
                "again."
            )
        if not label.is_file():
            raise EvaluationError(f"The picture {name} has no label {label}: {self.advice}.")


def _any_of(places: Sequence[str], pictures: str) -> str:
    return " or ".join(str(Path(place) / pictures) for place in places)


VOC2012 = Layout(
    places=("", "VOCdevkit/VOC2012", "VOC2012"),
    pictures="JPEGImages",
    labels="SegmentationClass",
    picture_end=".jpg",
    label_end=".png",
    list_file="ImageSets/Segmentation/val.txt",
    advice="fetch VOC2012's trainval archive again, it has all of them",
)
VOC2010_CONTEXT = Layout(
    places=("", "VOCdevkit/VOC2010", "VOC2010"),
    pictures="JPEGImages",
    labels="SegmentationClassContext",
    picture_end=".jpg",
    label_end=".png",
    list_file="ImageSets/SegmentationContext/val.txt",
    advice="make them with MMSegmentation's converter pascal_context.py",
)
COCO_STUFF = Layout(
    places=("", "coco_stuff164k"),
    pictures="images/val2017",
    labels="annotations/val2017",
    picture_end=".jpg",
    label_end="_labelTrainIds.png",
    list_file=None,
    advice="make them with MMSegmentation's converter coco_stuff164k.py",
)
CITYSCAPES = Layout(
    places=("", "cityscapes"),
    pictures="leftImg8bit/val",
    labels="gtFine/val",
    picture_end="_leftImg8bit.png",
    label_end="_gtFine_labelTrainIds.png",
    list_file=None,
    advice="make them with csCreateTrainIdLabelImgs of cityscapesScripts",
)
ADE20K = Layout(
    places=("", "ADEChallengeData2016", "ade/ADEChallengeData2016"),
    pictures="images/validation",
    labels="annotations/validation",
    picture_end=".jpg",
    label_end=".png",
    list_file=None,
    advice="fetch ADEChallengeData2016 again, it has all of them",
)
