# SPDX-License-Identifier: Apache-2.0
"""What of an archive is done: a file that a run goes on from after it was stopped or killed.

One JSON object a line; lines are only ever added. The first has the settings, each other one an
input or a slice of a bag. A line that was cut off by a kill is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.settings import GUARDED, Outcome

from .jobs import BagSlice

NAME = "manifest.jsonl"
_FORMAT = 1
_BEGIN = b'{"format": '  # of every manifest


class Manifest:
    """The manifest of an output folder; only one process has it at a time.

    Args:
        folder: the output folder, which is made.
        settings: all that results depend on, as JSON values.
        fresh: whether what an earlier run wrote is forgotten.

    Raises:
        MediaError: another run uses it, it was begun with other settings, or it is no manifest.
        OSError: it cannot be read or written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, object], fresh: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._inputs: dict[str, dict[str, Any]] = {}
        self._slices: dict[str, list[dict[str, Any]]] = {}
        self._taken: dict[str, bool] = {}
        self._stamps: dict[str, list[int] | None] = {}
        self._file: IO[bytes] = self.path.open("a+b")
        try:
            self._lock()
            if fresh:
                self._file.truncate(0)
            self._read(json.loads(json.dumps(settings)))
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MediaError(
                f"another run writes to {self.path.parent}: wait for it, or give another -o."
            ) from None

    def _read(self, settings: dict[str, Any]) -> None:
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        whole = sum(len(line) + 1 for line in lines)  # a rest was cut off by a kill
        if not lines and (rest.startswith(_BEGIN) or _BEGIN.startswith(rest)):
            self._file.truncate(whole)
            self._write({"format": _FORMAT, "settings": settings})
            return
        try:
            begin, *records = map(json.loads, lines)
            before, form = dict(begin["settings"]), begin["format"]
            for record in records:
                self._keep(record)
        except (ValueError, KeyError, TypeError) as error:
            raise MediaError(
                f"{self.path} is no manifest that can be read: start anew with --fresh."
            ) from error
        names = [name for name in {**settings, **before} if settings.get(name) != before.get(name)]
        if names or form != _FORMAT:
            raise MediaError(
                f"{self.path.parent} was begun with another {' and '.join(names) or 'version'}: "
                "give --fresh to start anew, or another folder with -o."
            )
        if rest:
            self._file.truncate(whole)

    def _keep(self, record: dict[str, Any]) -> None:
        if "begun" in record:
            self._taken |= record["begun"]
        elif "slice" in record:
            self._slices.setdefault(record["input"], []).append(record)
        else:
            self._inputs[record["input"]] = {"state": record["state"], **record}

    def _write(self, *records: dict[str, Any], durable: bool = True) -> None:
        """Add lines; when this returns, no power cut takes them away if they are durable."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        self._file.write(lines.encode("ascii"))
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())

    # -- what is known -----------------------------------------------------------------------------

    def outcome(self, entry: Input) -> Outcome | None:
        """How it went with an input that is done and unchanged since, None with any other."""
        record = self._inputs.get(entry.name)
        if not record or record["state"] != "done" or not self._is_same(entry, record):
            return None
        problems, notes = tuple(record["problems"]), tuple(record["notes"])
        return Outcome(record["summary"], problems, notes, record["frames"], record["unfamiliar"])

    def has(self, piece: BagSlice) -> bool:
        """Whether a slice is done, and its bag unchanged since."""
        records = self._slices.get(piece.entry.name, [])
        times = [piece.start, piece.stop]
        return piece.path.is_file() and any(
            record["slice"] == times and self._is_same(piece.entry, record) for record in records
        )

    def begin(self, entries: Sequence[Input]) -> frozenset[str]:
        """Note that inputs are begun.

        Returns:
            The names of those that were begun before, when no result of theirs was there: if there
            is one now, a run that was killed has made it, or it is of an input that was changed.
        """
        self._stamps |= {entry.name: _stamp(entry.path) for entry in entries}
        ours = frozenset(entry.name for entry in entries if self._taken.get(entry.name) is False)
        new = {entry.name: self._has_results(entry) for entry in entries if entry.name not in ours}
        if new:
            self._taken |= new
            self._write({"begun": new}, durable=False)
        return ours

    def _has_results(self, entry: Input) -> bool:
        """Whether there is a result that may only be replaced if the user says so."""
        folder = self.path.parent
        return any(os.path.lexists(folder / place.format(entry.name)) for place in GUARDED)

    def _is_same(self, entry: Input, record: Mapping[str, Any]) -> bool:
        return bool(record["path"] == str(entry.path) and record["stamp"] == self._stamp(entry))

    # -- what is added -----------------------------------------------------------------------------

    def add(self, done: Mapping[Input, Outcome | str]) -> None:
        """Note inputs that are done, or the sentences of those that cannot be."""
        self._write(
            *(
                self._about(entry)
                | (
                    {"state": "failed", "sentence": found}
                    if isinstance(found, str)
                    else {"state": "done", **asdict(found)}
                )
                for entry, found in done.items()
            )
        )

    def add_slice(self, piece: BagSlice) -> None:
        """Note a slice that is done."""
        self._write(self._about(piece.entry) | {"slice": [piece.start, piece.stop]})

    def _about(self, entry: Input) -> dict[str, Any]:
        return {"input": entry.name, "path": str(entry.path), "stamp": self._stamp(entry)}

    def _stamp(self, entry: Input) -> list[int] | None:
        """Size and time of the last change when it was begun, None if there was no file."""
        if entry.name not in self._stamps:
            self._stamps[entry.name] = _stamp(entry.path)
        return self._stamps[entry.name]

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _stamp(path: Path) -> list[int] | None:
    """Bytes, and the time of the last change (ns), of a file or of the files in a bag's folder."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        states = [file.stat() for file in files]
    except OSError:
        return None
    return [sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)]
