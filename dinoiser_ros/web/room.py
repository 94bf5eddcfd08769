# SPDX-License-Identifier: Apache-2.0
"""What viewers share: the back end, its frames and states made into messages once, and threads."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from .backend import Backend, ProbabilityGrid, State
from .control import Control
from .frame import Frame

T = TypeVar("T")


class Guest(Protocol):
    """What a room knows of a viewer.

    Attributes:
        watched: the cameras that it looks at.
    """

    watched: tuple[str, ...]

    def wake(self) -> None:
        """There is a new frame or state."""

    async def close(self, code: int, sentence: str) -> None:
        """End it."""


class Room:
    """Everything but the sockets; all methods run in the server's event loop.

    Args:
        backend: what segments.
        control: changes of its parameters.
        report: called with a sentence about what should not happen.

    Attributes:
        backend, report: as given.
        viewers: those that are there.
    """

    def __init__(self, backend: Backend, control: Control, report: Callable[[str], None]) -> None:
        self.backend = backend
        self.report = report
        self.viewers: set[Guest] = set()
        self._control = control
        # Pictures do not wait for requests: a change of prompts may take seconds.
        self._pictures = ThreadPoolExecutor(2, thread_name_prefix="web pictures")
        self._requests = ThreadPoolExecutor(4, thread_name_prefix="web requests")
        self._changing = asyncio.Lock()
        self._computing = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._watched: frozenset[str] = frozenset()
        self._grid: tuple[int, object, ProbabilityGrid] | None = None
        self._changes = 0  # whose effect no setting may show, as that of one example for another
        self._closed = False
        self._news: tuple[tuple[State, int, int], list[str]] | None = None

    def close(self) -> None:
        """Start nothing any more."""
        self._closed = True
        self._pictures.shutdown(wait=False, cancel_futures=True)
        self._requests.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """There is a new frame or state."""
        for viewer in self.viewers:
            viewer.wake()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function that may take a while in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._requests, function, *arguments)

    async def encode(self, frame: Frame) -> bytes:
        """The message of a frame, made once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pictures, frame.message)

    async def change(self, do: Callable[[Control], T]) -> T:
        """Change something; one change after the other, so that they take one thread."""
        async with self._changing:
            try:
                return await self.run(do, self._control)
            finally:
                self._changes += 1
                self.wake()  # the number of changes that can be taken back

    async def probabilities(self, frame: Frame) -> ProbabilityGrid:
        """Probabilities over a frame; computed once for the frame and the settings in use."""
        async with self._computing:
            settings = self._settings()
            if self._grid is not None and self._grid[:2] == (frame.number, settings):
                return self._grid[2]
            grid = await self.run(self.backend.probabilities, frame)
            self._grid = frame.number, settings, grid
            return grid

    def _settings(self) -> object:
        state = self.backend.state()
        return state.classes, state.parameters, state.examples, self._changes

    def watch(self) -> None:
        """Tell the back end what is looked at, if that changed.

        In a task of the room's own: that of a viewer is cancelled when its connection ends, and
        just then the back end has to hear that nobody looks any more.
        """
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._tell_watched())

    async def _tell_watched(self) -> None:
        while not self._closed:
            watched = frozenset(name for viewer in self.viewers for name in viewer.watched)
            if watched == self._watched:
                return
            await self.run(self.backend.watch, watched)
            self._watched = watched

    def news(self) -> list[str]:
        """The state as texts for viewers: what seldom changes, and diagnostics."""
        state = self.backend.state()
        key = state, self._control.undoable, len(self.viewers)
        if self._news is None or self._news[0] != key:
            parts = dataclasses.asdict(state)
            diagnostics = {"kind": "diagnostics", "diagnostics": parts.pop("diagnostics")}
            parts.update(control=self._control.allowed, undo=key[1], viewers=key[2])
            self._news = key, [json.dumps({"kind": "state", **parts}), json.dumps(diagnostics)]
        return self._news[1]
