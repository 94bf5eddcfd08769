# SPDX-License-Identifier: Apache-2.0
"""Options as a table, for documents."""

from __future__ import annotations

from collections.abc import Iterable

from .option import Option, Value


def markdown_table(rows: Iterable[Option]) -> str:
    """A Markdown table with one row for each option: default, values, when it is set, meaning."""
    lines = ["| parameter | default | values | set | meaning |", "|---|---|---|---|---|"]
    for option in rows:
        unit = f" {option.unit}" if option.unit else ""
        default = f"{_shown(option.default)}{unit}"
        cells = (f"`{option.name}`", default, option.takes, option.when, option.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(value: Value | None) -> str:
    """A value as it is written in a parameters file."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{entry}"' for entry in value) + "]`"
    return f"`{value}`" if value != "" else '`""`'
