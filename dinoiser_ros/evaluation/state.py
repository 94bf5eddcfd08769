# SPDX-License-Identifier: Apache-2.0
"""What an evaluation has counted so far, on disk: whoever is stopped goes on from there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.utils.atomic_files import atomic_write_text

SAVE_EVERY = 10.0  # seconds of work that a kill may cost


class State:
    """Tallies by key, beside the settings that they were counted with.

    Args:
        path: the state file, read if it is there; None keeps the state in memory only.
        strict: whether counts made with other settings are an error, or else forgotten.

    Raises:
        EvaluationError: the file is there but is not a state.
    """

    def __init__(self, path: Path | None = None, strict: bool = True) -> None:
        self.path = path
        self._strict = strict
        self._saved_at = time.monotonic()
        self._entries: dict[str, tuple[Mapping[str, object], Tally]] = {}
        if path is None or not path.exists():
            return
        try:
            for key, entry in json.loads(path.read_text(encoding="utf-8")).items():
                self._entries[key] = (dict(entry["settings"]), Tally.from_json(entry["tally"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(
                f"The state of an earlier run, {path}, cannot be read: start anew with --fresh."
            ) from error

    def tally(self, key: str, settings: Mapping[str, object], classes: int) -> Tally:
        """What is counted under a key, nothing if the key is new.

        Args:
            settings: all that the counts depend on, as JSON values.
            classes: how many the benchmark has.

        Raises:
            EvaluationError: the counts were made with other settings, and this state is strict.
        """
        if key not in self._entries:
            return Tally.empty(classes)
        before, tally = self._entries[key]
        different = [name for name in settings if settings[name] != before.get(name)]
        if different or len(tally.matrix) != classes:
            if not self._strict:
                return Tally.empty(classes)
            raise EvaluationError(
                f"{self.path} was begun with another {' and '.join(different) or 'benchmark'} "
                f"({key}): give --fresh to start anew, or another --output."
            )
        return tally

    def put(self, key: str, settings: Mapping[str, object], tally: Tally) -> None:
        """Remember a tally; it goes to disk now and then, and with `save`."""
        self._entries[key] = (settings, tally)
        if time.monotonic() - self._saved_at >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the file completely or not at all.

        Raises:
            OSError: it cannot be written.
        """
        entries = {
            key: {"settings": settings, "tally": tally.to_json()}
            for key, (settings, tally) in self._entries.items()
        }
        if entries and self.path is not None:
            atomic_write_text(self.path, json.dumps(entries, separators=(",", ":")))
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """Delete the file: everything is done."""
        self._entries.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
