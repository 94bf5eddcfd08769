# SPDX-License-Identifier: Apache-2.0
"""The class names of the public data sets, in the order of their ids, as used for prompts."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "class_lists"


def class_names(data_set: str) -> tuple[str, ...]:
    """Names in class_lists/<data_set>.txt, one a line."""
    return tuple((_FOLDER / f"{data_set}.txt").read_text(encoding="utf-8").split("\n")[:-1])
