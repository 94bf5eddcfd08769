# SPDX-License-Identifier: Apache-2.0
"""Markdown: tables that are readable as plain text too, and parts of files between markers."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned table; all columns but the first are aligned to the right.

    Args:
        header: C texts.
        rows: C texts each.

    Returns:
        Lines that end with a line break.
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[c]) for line in lines)) for c in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "".join(_line(texts, widths) for texts in [lines[0], rule, *lines[1:]])


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    others = (text.rjust(width) for text, width in zip(texts[1:], widths[1:], strict=True))
    return f"| {' | '.join([texts[0].ljust(widths[0]), *others])} |\n"


def replace_part(text: str, name: str, content: str) -> str:
    """Put something between the markers <!-- name --> and <!-- /name --> of a text.

    Args:
        content: what comes between them; it ends with a line break.

    Raises:
        ValueError: the text does not have this pair of markers exactly once.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    text, found = pattern.subn(lambda _: f"{start}{content}{end}", text)
    if found != 1:
        raise ValueError(f"The markers {start.strip()} and {end} have to be there once.")
    return text
