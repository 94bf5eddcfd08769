# SPDX-License-Identifier: Apache-2.0
"""What the user of `dinoiser segment` wants written, and where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.errors import MediaError

# What a folder of results has in it: numbered pictures, or a bag.
_RESULT = re.compile(
    r"\d{6,}(_labels)?\.(png|jpg)|metadata\.yaml|.*\.(mcap|db3)(\.zstd|-wal|-shm)?"
)
# What all inputs can become, by `media.datasets.pseudo_labels`.
PSEUDO_LABELS = "pseudo-labels"
PAIRS = f"dataset-{PSEUDO_LABELS}/{{}}_frames"
# Results that are only replaced if the user says so: those of videos and bags, with their name.
GUARDED = (
    "{}_overlay.mp4", "{}_labels", "{}_confidence", "{}_segmented", "{}_segmented.bag", PAIRS,
)  # fmt: skip
RESULTS = ("overlay", "labels", "confidence")
# What all pictures together can become, by `media.datasets`.
DATASETS = ("coco-panoptic", "coco-rle", "cityscapes", "yolo-seg", "parquet")


@dataclass(frozen=True)
class Settings:
    """How inputs are segmented.

    Attributes:
        output: the folder that everything is written below.
        alpha: strength of overlays (0 to 1).
        save: the results to write, of `RESULTS`; None for those that suit the kind of input.
        topics: image topics of bags to segment; None for all.
        overwrite: whether videos and bags that were written before are replaced.
        batch: how many images go through the network together.
        pseudo_labels: whether `datasets.pseudo_labels` are written.
    """

    output: Path
    alpha: float = 0.5
    save: frozenset[str] | None = None
    topics: tuple[str, ...] | None = None
    overwrite: bool = False
    batch: int = 1
    pseudo_labels: bool = False

    def wanted(self, default: Iterable[str]) -> list[str]:
        """The results to write, in the order of `RESULTS`."""
        chosen = frozenset(default) if self.save is None else self.save
        return [name for name in RESULTS if name in chosen]

    def check_free(self, path: Path) -> None:
        """Raise MediaError if something would be replaced without asking, or that is not ours.

        A folder is only replaced if it has what this command writes and nothing else.
        """
        if os.path.lexists(path) and not self.overwrite:
            raise MediaError(f"{path} exists already: give --overwrite, or another folder with -o.")
        check_own(path)


def check_own(path: Path) -> None:
    """Raise MediaError if a folder that would be replaced has files that are not results."""
    if not path.is_dir() or path.is_symlink():
        return
    strange = [entry for entry in path.iterdir() if entry.is_dir() or not _is_result(entry.name)]
    is_file = path.suffix in (".png", ".mp4", ".bag")
    if strange or is_file:
        raise MediaError(f"{path} is a folder of other files: move it, or give another with -o.")


def _is_result(name: str) -> bool:
    return bool(_RESULT.fullmatch(name))


@dataclass(frozen=True)
class Outcome:
    """How it went with one input that was segmented.

    Attributes:
        summary: the classes found, for people.
        problems: sentences about what is missing in the results; none if they are complete.
        notes: sentences about what was left out on purpose.
        frames: how many images were segmented.
        unfamiliar: what the model knows, if most of it is not `Segmentation.familiar`; else "".
    """

    summary: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    frames: int = 1
    unfamiliar: str = ""
