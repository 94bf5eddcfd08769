# SPDX-License-Identifier: Apache-2.0
"""Throttled log lines for what may happen with every frame: once per interval, or only once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PERIOD = 5.0  # seconds between two lines of one kind


class ThrottledLog:
    """Passes a message on unless one of the same kind was passed on lately.

    rclpy throttles each line of code, so that many messages of one kind would hide the others.
    """

    def __init__(self, emit: Callable[[str], object], period: float = PERIOD) -> None:
        self._emit = emit
        self._period = period
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def __call__(self, kind: str, message: str) -> None:
        """Log `message`, or count it; the next line of the kind says how many were held back."""
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(kind, -self._period) < self._period:
                self._held[kind] = self._held.get(kind, 0) + 1
                return
            self._last[kind] = now
            held = self._held.pop(kind, 0)
        self._emit(f"{message} ({held} more like it)" if held else message)


class ReportOnce:
    """Reports a lasting problem when it is first seen, and never again.

    For what makes the node slower but not wrong. Not thread-safe: one thread uses it at a time.

    Args:
        report: called with (kind, sentence).
        kind: of the problem.
    """

    def __init__(self, report: Callable[[str, str], None], kind: str) -> None:
        self._report = report
        self._kind = kind
        self._reported = False

    def __call__(self, problem: str | None) -> None:
        """Report a problem, in a sentence; None for none."""
        if problem is not None and not self._reported:
            self._reported = True
            self._report(self._kind, problem)
