# SPDX-License-Identifier: Apache-2.0
"""The pieces that an archive is divided into, and what is reported of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.media.inputs import PICTURE, Input
from dinoiser_ros.media.settings import Outcome

PICTURES_PER_JOB = 16  # what the end of a worker may cost; a job costs milliseconds of its own


@dataclass(frozen=True)
class WholeInputs:
    """Inputs that one worker does from beginning to end; a long bag it only divides.

    Attributes:
        entries: the inputs.
        ours: the names of those whose results, if there are any, are of this manifest and may be
            replaced.
    """

    entries: tuple[Input, ...]
    ours: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BagSlice:
    """The images of a bag from `start` up to but without `stop` (ns), and where results go."""

    entry: Input
    start: int
    stop: int
    path: Path


@dataclass(frozen=True)
class BagAssembly:
    """A bag whose slices are done: what is left is to copy it with their results."""

    entry: Input
    slices: tuple[BagSlice, ...]


Job = WholeInputs | BagSlice | BagAssembly


@dataclass(frozen=True)
class Result:
    """How it went with one input of a job.

    Attributes:
        entry: the input.
        outcome: of an input that is done; None if it is not, or only a slice of it.
        sentence: why it could not be done, "" if it could.
        slices: what a long bag was divided into.
    """

    entry: Input
    outcome: Outcome | None = None
    sentence: str = ""
    slices: tuple[BagSlice, ...] = ()


@dataclass(frozen=True)
class Report:
    """How it went with a job.

    Attributes:
        results: one for each input, in their order.
        frames: how many images were segmented.
        seconds: how long the worker was at it.
    """

    results: tuple[Result, ...]
    frames: int
    seconds: float


def jobs_of(entries: Sequence[Input]) -> list[Job]:
    """Videos and bags one by one, the longest first; then pictures, several to a job."""
    pictures = [entry for entry in entries if entry.kind == PICTURE]
    others = [entry for entry in entries if entry.kind != PICTURE]
    starts = range(0, len(pictures), PICTURES_PER_JOB)
    return [
        *(WholeInputs((entry,)) for entry in sorted(others, key=_size, reverse=True)),
        *(WholeInputs(tuple(pictures[i : i + PICTURES_PER_JOB])) for i in starts),
    ]


def entries_of(job: Job) -> tuple[Input, ...]:
    """The inputs that a job is about."""
    return job.entries if isinstance(job, WholeInputs) else (job.entry,)


def split(job: WholeInputs) -> list[Job]:
    """The same work in the smallest jobs, so that one bad input takes no other with it."""
    return [WholeInputs((entry,)) for entry in job.entries]


def _size(entry: Input) -> int:
    """Bytes of a file, or of the files in a bag's folder; 0 if that cannot be seen."""
    try:
        files = entry.path.iterdir() if entry.path.is_dir() else [entry.path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0
