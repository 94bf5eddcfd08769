# SPDX-License-Identifier: Apache-2.0
"""Where frames wait: one place for each camera, the newest frame wins, memory is bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Place:
    """One camera's waiting frame and when its next one may be taken (monotonic seconds)."""

    frame: Any = None
    not_before: float = 0.0


Work = tuple[list[Callable[[], None]], list[tuple[int, Any]]]
"""(calls to run, [(camera, frame)]), one of them empty."""


class FrameQueue:
    """Frames and calls on their way to the inference thread.

    Frames are of any type but None; cameras are numbered from 0. Calls go before frames.
    """

    def __init__(self, cameras: int, clock: Callable[[], float]) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._condition = threading.Condition()
        self._places = [_Place() for _ in range(cameras)]
        self._calls: deque[Callable[[], None]] = deque()
        self._closed = False
        self._paused = False

    def put(self, camera: int, frame: Any) -> Any:
        """Leave a frame.

        Returns:
            The frame that will never be taken: the one that waited, while paused this one; None if
            there is none.
        """
        with self._condition:
            if self._paused:
                return frame
            place = self._places[camera]
            replaced, place.frame = place.frame, frame
            self._condition.notify()
        return replaced

    def call(self, function: Callable[[], None]) -> bool:
        """Have a function run between two frames; False, and it never runs, once closed."""
        with self._condition:
            if self._closed:
                return False
            self._calls.append(function)
            self._condition.notify()
        return True

    def close(self) -> None:
        """Make `take` return None once the calls are done; frames that wait are forgotten."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def pause(self) -> list[int]:
        """Take no more frames and forget those that wait; returns the cameras that they are of."""
        with self._condition:
            self._paused = True
            waiting = [n for n, place in enumerate(self._places) if place.frame is not None]
            for place in self._places:
                place.frame = None
        return waiting

    def resume(self) -> None:
        """Take frames again."""
        with self._condition:
            self._paused = False

    def take(self, period: Callable[[], float]) -> Work | None:
        """Wait for work.

        Args:
            period: least seconds between two frames of one camera, asked when they are taken.

        Returns:
            What to do now; None when closed.
        """
        with self._condition:
            while True:
                if self._calls:
                    calls = list(self._calls)
                    self._calls.clear()
                    return calls, []
                if self._closed:
                    return None
                now = self._clock()
                frames = self._take_due(now, period())
                if frames:
                    return [], frames
                self._condition.wait(self._time_to_next(now))

    def _take_due(self, now: float, period: float) -> list[tuple[int, Any]]:
        due = []
        for camera, place in enumerate(self._places):
            if place.frame is not None and now >= place.not_before:
                due.append((camera, place.frame))
                place.frame = None
                # Counted from when it was due, so that a rate below the camera's is met on average.
                late = now - place.not_before
                place.not_before = now + period - (late if late < period else 0.0)
        return due

    def _time_to_next(self, now: float) -> float | None:
        waiting = [place.not_before - now for place in self._places if place.frame is not None]
        return max(min(waiting), 0.0) if waiting else None
