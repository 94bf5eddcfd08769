# SPDX-License-Identifier: Apache-2.0
"""Progress bars: on a terminal only, and without breaking the lines that are printed."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(title: str, total: int | None, unit: str) -> tqdm:
    """A bar with rate and time left; nothing where the errors do not go to a terminal."""
    return tqdm(desc=title, total=total, unit=unit, disable=None, dynamic_ncols=True, leave=False)


def say(text: str, error: bool = False) -> None:
    """Print a line of its own above the bars."""
    tqdm.write(text, file=sys.stderr if error else sys.stdout)
