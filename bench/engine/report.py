# SPDX-License-Identifier: Apache-2.0
"""The measurements as a table on the terminal, as JSON and as a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from .timing import Times

_COLUMNS = 4  # of panels in the plot
_LOGARITHMIC = 50  # times of a section that differ more get a logarithmic axis
Section = Mapping[str, Mapping[str, Times]]  # variant -> what was timed -> times


def table(title: str, section: Section) -> str:
    """A text table: a row for each variant, median and p95 in ms of what was timed."""
    columns = list(dict.fromkeys(name for times in section.values() for name in times))
    widths = [max(18, len(name) + 2) for name in columns]
    head = _row(title, columns, widths)
    lines = [head, "-" * len(head)]
    for variant, times in section.items():
        cells = [_cell(times[name]) if name in times else "-" for name in columns]
        lines.append(_row(variant, cells, widths))
    return "\n".join(lines)


def _row(name: str, cells: list[str], widths: list[int]) -> str:
    return f"{name:<24}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def _cell(times: Times) -> str:
    return f"{times.median:.1f} ({times.p95:.1f})"


def as_json(
    machine: Mapping[str, object],
    sections: Mapping[str, Section],
    derived: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """All numbers with what they were measured on, milliseconds, and what follows from them."""
    return {
        "machine": dict(machine),
        "derived": dict(derived or {}),
        **{
            title: {
                variant: {
                    name: {
                        "median_ms": round(t.median, 3),
                        "p95_ms": round(t.p95, 3),
                        "p99_ms": round(t.p99, 3),
                        "calls": len(t.samples),
                    }
                    for name, t in times.items()
                }
                for variant, times in section.items()
            }
            for title, section in sections.items()
        },
    }


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write it, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def plot(path: Path, sections: Mapping[str, Section]) -> None:
    """One panel of bars a section, as PNG."""
    rows = -(-len(sections) // _COLUMNS)
    figure = Figure(figsize=(5 * _COLUMNS, 4 * rows))
    panels = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for unused in panels[len(sections) :]:
        unused.set_axis_off()
    for panel, (title, section) in zip(panels, sections.items(), strict=False):
        names = list(dict.fromkeys(name for times in section.values() for name in times))
        for offset, (variant, times) in enumerate(section.items()):
            heights = [times[name].median if name in times else 0.0 for name in names]
            width = 0.8 / len(section)
            panel.bar(
                [index + offset * width for index in range(len(names))],
                heights,
                width,
                label=variant,
            )
        middle = 0.4 - 0.4 / len(section)
        panel.set_xticks([i + middle for i in range(len(names))], names, rotation=30, ha="right")
        panel.set_title(title)
        panel.set_ylabel("median ms")
        medians = [t.median for times in section.values() for t in times.values()]
        if max(medians) > _LOGARITHMIC * min(medians):
            panel.set_yscale("log")
        panel.legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
