# SPDX-License-Identifier: Apache-2.0
"""One line of the doctor's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, NOTE, FAULT = "ok", "note", "FAULT"


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Attributes:
        name: what.
        value: what it is, in one line.
        level: OK; NOTE, for what costs speed or a part of the functions; FAULT, for what keeps the
            node from working.
        advice: what to do about it, "" for nothing.
    """

    name: str
    value: str
    level: str = OK
    advice: str = ""

    def line(self) -> str:
        """As it is printed."""
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.level:5}  {self.name}: {self.value}{advice}"


def report(sections: Sequence[tuple[str, Sequence[Finding]]]) -> str:
    """All of it as plain text, fit for a bug report."""
    parts = [
        "\n".join([f"-- {title}", *(finding.line() for finding in findings)])
        for title, findings in sections
    ]
    found = [finding for _, findings in sections for finding in findings]
    counts = {level: sum(entry.level == level for entry in found) for level in (FAULT, NOTE)}
    return "\n".join([*parts, f"-- {counts[FAULT]} faults, {counts[NOTE]} notes"])
