# SPDX-License-Identifier: Apache-2.0
"""Who may publish results: one thread at a time, and nobody once the node is inactive."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class PublishingGate:
    """A lock that knows whether the node is active. It starts shut."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether results may be published at this moment."""
        return self._open

    def open(self) -> None:
        """Let results through."""
        self._open = True

    def shut(self) -> None:
        """When this returns nothing more is published."""
        with self._lock:
            self._open = False

    @contextlib.contextmanager
    def passing(self) -> Iterator[bool]:
        """Keep others out; gives whether results may be published."""
        with self._lock:
            yield self._open

    def while_open(self, function: Callable[[], None]) -> None:
        """Run a function that publishes, unless the gate is shut; keep others out meanwhile."""
        with self.passing() as is_open:
            if is_open:
                function()
