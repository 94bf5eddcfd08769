# SPDX-License-Identifier: Apache-2.0
"""What went wrong with the node: logged, counted, and kept for /diagnostics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .throttled_log import ThrottledLog

if TYPE_CHECKING:
    from rclpy.impl.rcutils_logger import RcutilsLogger


class Problems:
    """Takes note of problems, from any thread.

    Attributes:
        last_error: the last problem in a sentence, "" for none.
        failed: whether the last transition failed; reset by whoever makes the next one.
        refused: how many requests of each kind were refused.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self.last_error = ""
        self.failed = False
        self.refused: Counter[str] = Counter()
        self._logger = logger
        self._warn = ThrottledLog(lambda sentence: logger.warning(sentence))

    def note(self, kind: str, sentence: str) -> None:
        """Something went wrong and the node goes on; the log is throttled for each kind."""
        self.last_error = sentence
        self._warn(kind, sentence)

    def refuse(self, kind: str, sentence: str) -> None:
        """A request was refused: "prompts", "segment" or "parameters"."""
        self.refused[kind] += 1
        self.note(kind, f"{kind} refused: {sentence}")

    def fail(self, sentence: str) -> None:
        """A transition failed, or the node cannot go on as it is."""
        self.last_error, self.failed = sentence, True
        self._logger.error(sentence)
