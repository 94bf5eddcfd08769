# SPDX-License-Identifier: Apache-2.0
"""Any exception as one sentence, for the places where an input, a command or a file ends."""

from __future__ import annotations

import traceback
from pathlib import Path

from dinoiser_ros.errors import DinoiserError


def sentence_of(error: BaseException) -> str:
    """What is wrong, on one line.

    Errors that are raised on purpose say it themselves, those of the system as well; of others the
    place in the code is named.
    """
    text = " ".join(str(error).split())
    if isinstance(error, DinoiserError) or (isinstance(error, OSError) and text):
        return printable(text)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return printable(f"an unexpected error{place} ({named}): please report it.")


def printable(text: object) -> str:
    """A text for a terminal: bytes of names that are not UTF-8, and control characters, escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(text)
    )


def first_line(error: BaseException, most: int = 200) -> str:
    """What another library's exception says first, on one line; its type if it says nothing."""
    lines = str(error).strip().splitlines()
    return printable(lines[0][:most]) if lines else type(error).__name__
