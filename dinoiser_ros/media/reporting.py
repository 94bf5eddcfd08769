# SPDX-License-Identifier: Apache-2.0
"""What the user of `dinoiser segment` is told about each input and about all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dinoiser_ros.utils.progress import say
from dinoiser_ros.utils.sentences import printable

from .inputs import BAG, PICTURE, VIDEO, Input
from .settings import Outcome

_SURE = 5  # inputs that do not show a model's world, of which some certainly do not


class Strange:
    """Counts the inputs that do not show the world that a model knows."""

    def __init__(self) -> None:
        self._world = ""
        self._segmented = self._unfamiliar = 0

    def add(self, outcome: Outcome) -> None:
        """Count an input that was segmented."""
        self._segmented += 1
        self._unfamiliar += bool(outcome.unfamiliar)
        self._world = self._world or outcome.unfamiliar

    def say(self) -> None:
        """Warn of them on the error output, in one sentence; a few may only look so."""
        if not self._unfamiliar:
            return
        notice = "this input may not show"
        if self._segmented > 1:
            verb = "do" if self._unfamiliar >= _SURE else "may"
            notice = f"{self._unfamiliar} of {self._segmented} inputs {verb} not show"
        say(f"dinoiser: warning: {notice} {self._world}.", error=True)


def say_outcome(path: Path, outcome: Outcome) -> None:
    """Print what was found in an input, and on the error output what is missing or left out."""
    say(f"{printable(path)}: {outcome.summary}")
    for sentence in (*outcome.notes, *outcome.problems):
        complain(path, sentence)


def complain(path: Path, sentence: str) -> None:
    """Print a sentence about an input on the error output."""
    say(f"dinoiser: {about(path, sentence)}", error=True)


def about(path: Path, sentence: str) -> str:
    """A sentence that names the input that it is about."""
    shown = printable(path)
    return sentence if shown in sentence else f"{shown}: {sentence}"


def counted(inputs: Sequence[Input], done: Mapping[str | None, int]) -> str:
    """Such as "2 of 3 pictures, 1 of 1 videos".

    Args:
        done: how many of each kind were segmented.
    """
    counts = Counter(entry.kind for entry in inputs)
    kinds = [kind for kind in (PICTURE, VIDEO, BAG, None) if counts[kind]]
    parts = [f"{done.get(kind, 0)} of {counts[kind]} {kind or 'other file'}s" for kind in kinds]
    return ", ".join(parts)
