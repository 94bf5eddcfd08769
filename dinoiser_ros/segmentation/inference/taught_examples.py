# SPDX-License-Identifier: Apache-2.0
"""The examples of a segmenter: taught, forgotten, kept in a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.segmentation.examples.example_set import (
    Example,
    ExampleSet,
    clean_name,
    is_taught,
)
from dinoiser_ros.segmentation.examples.examples_file import (
    examples_path,
    read_examples,
    write_examples,
)
from dinoiser_ros.segmentation.models.assembly import Assembly


class TaughtExamples:
    """Changes what phrases such as "@tote" mean; for vocabularies that are made afterwards.

    May be used from any thread.

    Args:
        assembly: the model; its text gets the examples.
        path: file in which they are kept, read now if it exists; None: in memory only.

    Attributes:
        path: where they are kept; None: nowhere.

    Raises:
        ExampleError: this cannot be the name of such a file.
        WeightsError: the file is none of examples, or of another model.
    """

    def __init__(self, assembly: Assembly, path: str | os.PathLike[str] | None) -> None:
        self._text = assembly.text
        self._model = (assembly.identity, assembly.name)
        self._lock = threading.Lock()
        self.path: Path | None = None
        if path is not None:
            self.path = examples_path(os.fspath(path))
            self._text.examples = read_examples(self.path, *self._model)

    @property
    def counts(self) -> dict[str, int]:
        """How many examples each name has."""
        return self._text.examples.counts

    def add(self, name: str, examples: Iterable[Example]) -> int:
        """Add examples of a name, and write the file.

        Returns:
            How many the name has then.

        Raises:
            ExampleError: the name cannot be, there are too many, or the file cannot be written;
                nothing is changed.
        """
        added = list(examples)
        return _count(self._change(lambda before: before.adding(name, added)), name)

    def remove(self, name: str, newest: int | None = None, used: Iterable[str] = ()) -> int:
        """Remove examples of a name, and write the file.

        Args:
            newest: only so many, those taught last; None: all.
            used: phrases of the prompts in use, which keep at least one example.

        Returns:
            How many the name has then.

        Raises:
            ExampleError: nothing was taught under the name, a prompt needs it, or the file cannot
                be written; nothing is changed.
        """

        def removed(before: ExampleSet) -> ExampleSet:
            after = before.removing(name, newest)
            for phrase in filter(is_taught, used):
                if _count(after, phrase[1:]) < min(1, _count(before, phrase[1:])):
                    raise ExampleError(
                        f"{phrase!r} is in the prompts in use: set others first, or leave at least "
                        "one example of it."
                    )
            return after

        return _count(self._change(removed), name)

    def _change(self, change: Callable[[ExampleSet], ExampleSet]) -> ExampleSet:
        with self._lock:
            after = change(self._text.examples)
            if self.path is not None:
                write_examples(self.path, after, *self._model)
            self._text.examples = after
        return after


def _count(examples: ExampleSet, name: str) -> int:
    """How many examples a name has, however it is written."""
    own = examples.known(clean_name(name))
    return 0 if own is None else examples.counts[own]
