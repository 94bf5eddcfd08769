# SPDX-License-Identifier: Apache-2.0
"""Changes that people make on the page: one after the other, or none at all.

Those of parameters can be taken back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from dinoiser_ros.errors import RequestError
from dinoiser_ros.utils.option import Value, did_you_mean

from .backend import Backend, Parameter
from .frame import Frame
from .settings_file import settings_of

MOST_UNDO = 50
READ_ONLY = "This page only shows: to change something, start it without read-only mode."


class Control:
    """Changes parameters of a back end, remembers what they were, and teaches it classes.

    Args:
        backend: whose parameters and classes.
        allowed: False for a page that only shows.
    """

    def __init__(self, backend: Backend, allowed: bool) -> None:
        self.allowed = allowed
        self._backend = backend
        self._lock = threading.Lock()
        self._undo: deque[dict[str, Value]] = deque(maxlen=MOST_UNDO)

    @property
    def undoable(self) -> int:
        """How many changes can be taken back."""
        return len(self._undo)

    def change(self, values: Mapping[str, Any]) -> None:
        """Change parameters together.

        Raises:
            DinoiserError: it is not allowed, or refused.
        """
        with self._changing():
            known = {entry.name: entry for entry in self._backend.state().parameters}
            typed = {name: _typed(known, name, value) for name, value in values.items()}
            before = {name: known[name].value for name in typed}
            changes = {name: value for name, value in typed.items() if value != before[name]}
            if changes:
                self._backend.change(changes)
                self._undo.append({name: before[name] for name in changes})

    def undo(self) -> list[str]:
        """Take the last change back; returns the names of its parameters.

        Raises:
            DinoiserError: it is not allowed, there is none, or it is refused.
        """
        with self._changing():
            if not self._undo:
                raise RequestError("There is no change to take back.")
            before = self._undo[-1]
            self._backend.change(before)
            self._undo.pop()
            return sorted(before)

    def load(self, text: str) -> tuple[list[str], list[str]]:
        """Take the settings of a parameters file.

        Returns:
            Names of the parameters that were changed, and sentences about those that were not.

        Raises:
            DinoiserError: it is not allowed, the file cannot be read, or a value is refused.
        """
        given = settings_of(text)
        known = {entry.name: entry for entry in self._backend.state().parameters}
        chosen, notes = {}, []
        for name, value in given.items():
            entry = known.get(name)
            if entry is None:
                notes.append(f"There is no parameter '{name[:60]}'{did_you_mean(name, known)}")
            elif value == entry.value:
                continue
            elif not entry.changeable:
                notes.append(f"{name} cannot be changed now.")
            else:
                chosen[name] = value
        self.change(chosen)
        return sorted(chosen), notes

    def teach(self, frame: Frame, name: str, region: np.ndarray) -> int:
        """Give a class examples, see `Backend.teach`; "Undo" does not remove them.

        Raises:
            DinoiserError: it is not allowed, or refused.
        """
        with self._changing():
            _check_plain("The name of a class", name)
            return self._backend.teach(frame, name, region)

    def forget(self, name: str, newest: int | None) -> int:
        """Remove examples of a class, see `Backend.forget`.

        Raises:
            DinoiserError: it is not allowed, or refused.
        """
        with self._changing():
            _check_plain("The name of a class", name)
            return self._backend.forget(name, newest)

    def _changing(self) -> threading.Lock:
        if not self.allowed:
            raise RequestError(READ_ONLY)
        return self._lock


def _typed(known: Mapping[str, Parameter], name: str, value: Any) -> Value:
    """A value from JSON or YAML in its parameter's type; the back end checks what it is."""
    if name not in known:
        raise RequestError(f"There is no parameter '{name[:60]}'{did_you_mean(name, known)}")
    entry = known[name]
    if not entry.changeable:
        raise RequestError(f"{name} cannot be changed now: {entry.takes or 'it is read-only'}.")
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62
    number = whole or isinstance(value, float)
    fits = {
        "bool": isinstance(value, bool),
        "int": whole,
        "float": number,
        "str": isinstance(value, str),
        "list": isinstance(value, list) and all(isinstance(text, str) for text in value),
    }
    if not fits.get(entry.kind, False):
        raise RequestError(f"{name} cannot be {str(value)[:60]!r}: it takes {entry.takes}.")
    if entry.kind == "float":
        return float(value)
    for text in [value] if isinstance(value, str) else value if entry.kind == "list" else []:
        _check_plain(name, text)
    result: Value = value
    return result


def _check_plain(what: str, text: str) -> None:
    """Refuse a text that no message can carry: with half a character, as JSON may write it."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise RequestError(f"{what} has broken characters in it: write plain text.")
