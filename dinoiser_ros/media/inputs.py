# SPDX-License-Identifier: Apache-2.0
"""Which inputs there are: kinds of files, folders of them, and names that never collide."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dinoiser_ros.pictures.folders import PICTURE_SUFFIXES, is_companion
from dinoiser_ros.utils.sentences import sentence_of

PICTURE, VIDEO, BAG = "picture", "video", "bag"
VIDEO_SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"}
)
BAG_SUFFIXES = frozenset({".bag", ".db3", ".mcap"})
PACKED_SUFFIXES = (".mcap.zstd", ".db3.zstd")
_SUFFIXES = PICTURE_SUFFIXES | VIDEO_SUFFIXES | BAG_SUFFIXES
SUPPORTED = (
    f"pictures ({', '.join(sorted(PICTURE_SUFFIXES))}), "
    f"videos ({', '.join(sorted(VIDEO_SUFFIXES))}), "
    "bags (a rosbag2 folder with its metadata.yaml, .mcap, .db3, or .bag of ROS 1)"
)
# How files without a known suffix are recognised: position, bytes that are there, kind.
_BEGINNINGS = (
    (0, b"\x89PNG\r\n\x1a\n", PICTURE),
    (0, b"\xff\xd8\xff", PICTURE),
    (0, b"BM", PICTURE),
    (0, b"GIF8", PICTURE),
    (0, b"II*\0", PICTURE),
    (0, b"MM\0*", PICTURE),
    (8, b"WEBP", PICTURE),
    (8, b"AVI ", VIDEO),
    (4, b"ftyp", VIDEO),
    (0, b"\x1aE\xdf\xa3", VIDEO),
)


@dataclass(frozen=True)
class Input:
    """One picture, video or bag.

    Attributes:
        path: where it is.
        kind: `PICTURE`, `VIDEO`, `BAG`, or None if it is none of them.
        name: what its results are called, without suffix; with "/" where it came from a folder in
            a folder. No other input has it.
        problem: why it cannot be used, "" if that is not known.
    """

    path: Path
    kind: str | None
    name: str
    problem: str = ""


def find_inputs(places: Sequence[Path], output: Path) -> list[Input]:
    """Files as they are given, and what can be segmented in folders and the folders in them.

    Args:
        places: files, bags and folders.
        output: a folder that is left out: it has the results of earlier runs.
    """
    found: list[_Found] = []
    names: list[Path] = []
    for place in places:
        try:
            inside = _inside(place, output)
        except Exception as error:  # one place that cannot be looked at is one bad input
            inside = [_Found(place, None, sentence_of(error))]
        found += inside
        names += [_relative(entry.path, place) for entry in inside]
    chosen = distinct_names(names)
    return [
        Input(entry.path, entry.kind, name, entry.problem)
        for entry, name in zip(found, chosen, strict=True)
    ]


class _Found(NamedTuple):
    path: Path
    kind: str | None
    problem: str = ""


def _inside(place: Path, output: Path) -> list[_Found]:
    """What one place of the command line stands for."""
    kind = kind_of(place)
    if kind is not None or not place.is_dir():
        return [_Found(place, kind)]
    if os.path.realpath(place) == os.path.realpath(output):
        return [
            _Found(place, None, "the results would lie among the inputs: give another folder to -o")
        ]
    return list(_walk(place, Path(os.path.realpath(output))))


def _relative(path: Path, place: Path) -> Path:
    """What an input's results are named after: its path in a folder, or its own name."""
    if path != place:
        return path.relative_to(place)
    return Path(os.path.basename(os.path.realpath(path)) or "root")


def kind_of(path: Path) -> str | None:
    """What a file or folder is, by its suffix or, if that tells nothing, its first bytes."""
    if is_companion(path.name):
        return None
    if path.is_dir():
        return BAG if (path / "metadata.yaml").is_file() else None
    suffix = path.suffix.lower()
    kinds = ((PICTURE_SUFFIXES, PICTURE), (VIDEO_SUFFIXES, VIDEO), (BAG_SUFFIXES, BAG))
    for suffixes, kind in kinds:
        if suffix in suffixes:
            return kind
    if is_packed_bag(path):
        return BAG
    return _kind_by_content(path) if path.is_file() else None


def is_packed_bag(path: Path) -> bool:
    """Whether a file is the compressed storage of a bag, without its metadata.yaml."""
    return path.name.lower().endswith(PACKED_SUFFIXES)


def _kind_by_content(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    for position, beginning, kind in _BEGINNINGS:
        if start.startswith(beginning, position):
            return kind
    return None


def _walk(folder: Path, output: Path) -> Iterator[_Found]:
    """What a folder has, in the order of names; links are followed, a bag is not looked into."""
    seen = {str(output)}
    problems: list[OSError] = []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=problems.append):
        here = Path(place)
        if os.path.realpath(here) in seen:  # the output, or a link to a folder above
            folders.clear()
            continue
        seen.add(os.path.realpath(here))
        bags = [name for name in folders if kind_of(here / name) == BAG]
        yield from (_Found(here / name, BAG) for name in sorted(bags))
        folders[:] = sorted(set(folders) - set(bags))
        yield from (_Found(here / name, kind_of(here / name)) for name in sorted(files)
                    if _is_input(here / name))  # fmt: skip
    for error in problems:
        yield _Found(Path(os.fsdecode(error.filename)), None, f"it was left out: {error.strerror}.")


def _is_input(path: Path) -> bool:
    """Whether a file of a folder is meant, by its name; macOS's companions are not."""
    known = path.suffix.lower() in _SUFFIXES or is_packed_bag(path)
    return known and not is_companion(path.name)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each path: without suffix where that is enough to tell them apart.

    Of a.png and a.jpg both keep the suffix; what is still the same gets a number.

    Args:
        paths: relative ones.

    Returns:
        Names with "/" between folders, in the order of the paths, no two the same.
    """
    short = [_without_suffix(path).as_posix() for path in paths]
    counts = Counter(short)
    taken: set[str] = set()
    names = []
    for path, stem in zip(paths, short, strict=True):
        base = name = stem if counts[stem] == 1 else path.as_posix()
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        names.append(name)
    return names


def _without_suffix(path: Path) -> Path:
    """Without its suffix if that is a known one: a bag may be called 2026.05.01."""
    return path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path
