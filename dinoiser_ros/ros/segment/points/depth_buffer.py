# SPDX-License-Identifier: Apache-2.0
"""Depth messages by stamp: each image gets the depth of its own moment, in bounded memory."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any

_MESSAGES = 30  # a second of most cameras: depth may come that much earlier than its image
_BYTES = 64_000_000
_BACK = 10**9  # nanoseconds; no two threads of a driver disorder messages by so much


class DepthMatch:
    """The depth of one image, as far as it has arrived.

    Whoever holds it keeps that one message, however long the segmentation takes.

    Attributes:
        stamp: of the image, in nanoseconds.
        message: the nearest depth message so far, None for none.
        final: whether no later message can be nearer.
    """

    def __init__(self, stamp: int) -> None:
        self.stamp = stamp
        self.message: Any = None
        self.final = False
        self._distance = 0

    def within(self, slop: float) -> Any:
        """The message if it is at most `slop` seconds away, else None."""
        near = self.message is not None and self._distance <= slop * 1e9
        return self.message if near else None

    def offer(self, stamp: int, message: Any) -> None:
        """Keep a message if it is nearer than the one before."""
        distance = abs(stamp - self.stamp)
        if self.message is None or distance < self._distance:
            self.message, self._distance = message, distance
        # Stamps come in order: what follows one that is not older is farther away.
        self.final = self.final or stamp >= self.stamp


class DepthBuffer:
    """The newest depth messages of a camera, and those that images wait with; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: deque[tuple[int, Any]] = deque()
        self._bytes = 0
        self._matches: weakref.WeakSet[DepthMatch] = weakref.WeakSet()

    def add(self, stamp: int, message: Any) -> None:
        """A message arrived; `stamp` in nanoseconds."""
        with self._lock:
            if self._recent and stamp < self._recent[-1][0] - _BACK:
                self._forget()  # a bag or a simulation began anew
            self._recent.append((stamp, message))
            self._bytes += len(message.data)
            while len(self._recent) > _MESSAGES or (self._bytes > _BYTES and len(self._recent) > 1):
                self._bytes -= len(self._recent.popleft()[1].data)
            for match in self._matches:
                match.offer(stamp, message)

    def expect(self, stamp: int) -> DepthMatch:
        """Look for the depth of an image from now on, among what is there and what comes."""
        match = DepthMatch(stamp)
        with self._lock:
            for there, message in self._recent:
                match.offer(there, message)
            self._matches.add(match)
        return match

    def clear(self) -> None:
        """Forget what no image waits with."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._recent.clear()
        self._bytes = 0
