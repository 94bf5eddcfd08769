# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are pictures."""

from __future__ import annotations

from pathlib import Path

PICTURE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def is_companion(name: str) -> bool:
    """Whether a file is one of macOS's, which hold the attributes of the file they are named for.

    They have its suffix but none of its content.
    """
    return name.startswith("._")


def is_picture_file(path: Path) -> bool:
    """Whether a file of a folder is a picture by its name, and one that can be read to its end."""
    return (
        path.suffix.lower() in PICTURE_SUFFIXES and not is_companion(path.name) and path.is_file()
    )
