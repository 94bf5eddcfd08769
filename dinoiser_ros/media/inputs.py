# SPDX-License-Identifier: Apache-2.0
"""Which inputs there are: kinds of files, folders of them, and names that never collide."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.pictures.folders import PICTURE_SUFFIXES

PICTURE, VIDEO, BAG = "picture", "video", "bag"
VIDEO_SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"}
)
BAG_SUFFIXES = frozenset({".bag", ".db3", ".mcap"})
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
    """

    path: Path
    kind: str | None
    name: str


def find_inputs(places: Sequence[Path], output: Path) -> list[Input]:
    """Files as they are given, and what can be segmented in folders and the folders in them.

    Args:
        places: files, bags and folders.
        output: a folder that is left out: it has the results of earlier runs.
    """
    found: list[tuple[Path, str | None]] = []
    names: list[Path] = []
    for place in places:
        if place.is_dir() and kind_of(place) is None:
            inside = list(_walk(place, output.resolve()))
            found += inside
            names += [path.relative_to(place) for path, _ in inside]
        else:
            found.append((place, kind_of(place)))
            names.append(Path(place.resolve().name))
    chosen = distinct_names(names)
    return [Input(path, kind, name) for (path, kind), name in zip(found, chosen, strict=True)]


def kind_of(path: Path) -> str | None:
    """What a file or folder is, by its suffix or, if that tells nothing, its first bytes."""
    if path.is_dir():
        return BAG if (path / "metadata.yaml").is_file() else None
    suffix = path.suffix.lower()
    kinds = ((PICTURE_SUFFIXES, PICTURE), (VIDEO_SUFFIXES, VIDEO), (BAG_SUFFIXES, BAG))
    for suffixes, kind in kinds:
        if suffix in suffixes:
            return kind
    return _kind_by_content(path) if path.is_file() else None


def _kind_by_content(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    for position, beginning, kind in _BEGINNINGS:
        if start.startswith(beginning, position):
            return kind
    return None


def _walk(folder: Path, output: Path) -> Iterator[tuple[Path, str | None]]:
    """What a folder has, in the order of names; links are followed, a bag is not looked into."""
    seen = {output}
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        if here.resolve() in seen:  # the output, or a link to a folder above
            folders.clear()
            continue
        seen.add(here.resolve())
        bags = [name for name in folders if kind_of(here / name) == BAG]
        yield from ((here / name, BAG) for name in sorted(bags))
        folders[:] = sorted(set(folders) - set(bags))
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in _SUFFIXES:
                yield path, kind_of(path)


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
