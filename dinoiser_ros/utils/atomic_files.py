# SPDX-License-Identifier: Apache-2.0
"""Files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A place to write a file or folder to, which takes `path` at the end of the block.

    It lies in a folder `path`.part, so that it has its final name all along: containers and bags
    store it inside. After an error nothing is left, and what was at `path` is as it was; after a
    kill that folder is left, which the next call for this path replaces.

    Args:
        path: where the result will be, in any folder, which is made; what is there is replaced.
        durable: whether a file is on the disk before it gets its name. Without, a power cut may
            leave an empty file of that name; with, each file takes milliseconds more.

    Raises:
        OSError: it cannot be written, or `path`.part is somebody else's.
    """
    workplace = path.with_name(f"{path.name}.part")
    _remove_workplace(workplace, path.name)
    workplace.mkdir(parents=True)
    try:
        yield workplace / path.name
        move_into_place(workplace / path.name, path, durable=durable)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file, and the folders above it, or leave the file that is there untouched.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(path) as place:
        place.write_text(text, encoding="utf-8")


def move_into_place(source: Path, path: Path, *, durable: bool = True) -> None:
    """Give a complete file or folder its name; a file replaces a file, a folder a folder.

    Args:
        source: on the same file system as `path`, with nothing left in a buffer.
        path: its name from now on.
        durable: see `atomic_write`; for files only.

    Raises:
        OSError: it cannot be written, or a file has to replace a folder or a folder a file.
    """
    if durable and source.is_file():
        with source.open("rb+") as file:
            os.fsync(file.fileno())
    if source.is_dir() and path.is_dir():
        shutil.rmtree(path)
    os.replace(source, path)


def _remove_workplace(place: Path, name: str) -> None:
    """Remove what a killed process left; whatever else has this name is somebody's, and stays."""
    if not os.path.lexists(place):
        return
    if place.is_symlink() or not place.is_dir():
        raise FileExistsError(errno.EEXIST, "this name is needed for a moment: move it", str(place))
    if any(entry.name != name for entry in place.iterdir()):
        raise FileExistsError(errno.EEXIST, "other files are in it: move it", str(place))
    shutil.rmtree(place)
