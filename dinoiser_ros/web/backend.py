# SPDX-License-Identifier: Apache-2.0
"""What the web server asks of whatever segments: the protocol, and the values that it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from dinoiser_ros.utils.option import Value

from .frame import Frame

OK, WARN, ERROR, STALE = range(4)  # levels, as in diagnostic_msgs/DiagnosticStatus


@dataclass(frozen=True)
class Parameter:
    """One parameter as the page shows it.

    Attributes:
        name: its name.
        kind: "bool", "int", "float", "str" or "list" (of texts).
        value: what it is now.
        description: what it does.
        takes: in words, which values it can have and when.
        minimum, maximum: range of a number, None for none.
        choices: the texts that it can be; empty for any.
        changeable: whether it can be changed now.
    """

    name: str
    kind: str
    value: Value
    description: str = ""
    takes: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    changeable: bool = True


@dataclass(frozen=True)
class Diagnostic:
    """One status of /diagnostics, or what is like it.

    Attributes:
        part: "node", or the camera that it is about.
        level: `OK`, `WARN`, `ERROR` or `STALE`.
        message: a sentence.
        values: further values by name.
    """

    part: str
    level: int
    message: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """All that a viewer is told but for pictures.

    Attributes:
        name: of what segments, such as "/dinoiser".
        connected: whether it answers.
        about: a sentence about the connection, "" if there is nothing to say.
        cameras: names of the cameras, or of the pictures.
        classes: id and name of each, in the order of the prompts; ids may have gaps.
        parameters: in the order of their declaration; "prompts" is one of them.
        diagnostics: the newest.
        examples: name and number of the examples of each class that was taught.
    """

    name: str
    connected: bool = False
    about: str = ""
    cameras: tuple[str, ...] = ()
    classes: tuple[tuple[int, str], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    examples: tuple[tuple[str, int], ...] = ()

    def values(self) -> dict[str, Value]:
        """The parameters' values by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}


@dataclass(frozen=True)
class ProbabilityGrid:
    """Probabilities of all classes over one picture.

    Attributes:
        class_names: of the maps, in their order; all are different.
        values: (K, rows, columns) float32 in [0, 1]; the cells divide the picture evenly.
    """

    class_names: tuple[str, ...]
    values: np.ndarray


class Backend(Protocol):
    """What segments. Methods may be called from several threads, and may take a while."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is then called, from any thread, for each new frame or state."""

    def close(self) -> None:
        """End; no call follows."""

    def state(self) -> State:
        """What is known now; takes no time."""

    def watch(self, cameras: frozenset[str]) -> None:
        """Which cameras somebody looks at; the others need no frames, and may cost nothing."""

    def newest(self, camera: str) -> Frame | None:
        """The newest frame of a camera that is watched; None before the first."""

    def change(self, values: Mapping[str, Any]) -> None:
        """Change parameters together.

        Raises:
            DinoiserError: it is refused, in a sentence that says why; then none is changed.
        """

    def probabilities(self, frame: Frame) -> ProbabilityGrid:
        """Probabilities of all classes over a frame's picture, with the prompts in use.

        Raises:
            DinoiserError: they cannot be had.
        """

    def teach(self, frame: Frame, name: str, region: np.ndarray) -> int:
        """Give a class examples on a frame's picture; how many it has then.

        Args:
            name: of the class.
            region: in pixels of the picture: points (N, 2) as x and y, each an example by itself,
                or a box (4,) as left, top, right and bottom.

        Raises:
            DinoiserError: it is refused; then nothing is changed.
        """

    def forget(self, name: str, newest: int | None) -> int:
        """Remove examples of a class; how many are left.

        Args:
            newest: only so many, those taught last; None: all.

        Raises:
            DinoiserError: it is refused; then nothing is changed.
        """
