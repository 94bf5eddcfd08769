# SPDX-License-Identifier: Apache-2.0
"""Progress bars on the error output, which do not break the lines that are printed meanwhile."""

from __future__ import annotations

import sys
import threading
from typing import Any

from tqdm import tqdm  # comes with open_clip and huggingface_hub

_hidden = False


def hide_bars() -> None:
    """Show no bar in this process from now on: another one does."""
    global _hidden
    _hidden = True
    # By default tqdm makes a lock between processes, which stays behind where one is killed.
    tqdm.set_lock(threading.RLock())


def progress_bar(
    title: str,
    total: int | None,
    unit: str,
    *,
    initial: int = 0,
    keep: bool = True,
    show: bool = True,
    log_period: float | None = None,
) -> tqdm[Any]:
    """A bar with rate and time left; nothing where the errors do not go to a terminal.

    Args:
        title: what is under way.
        total: how many units there are, None if unknown.
        unit: what is counted, such as "frame".
        initial: how many were done before.
        keep: whether the finished bar stays on the screen.
        show: whether there is a bar at all.
        log_period: seconds between two lines where the errors do not go to a terminal; None for
            no lines.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=title,
        total=total,
        unit=unit,
        initial=initial,
        leave=keep,
        disable=_hidden or not show or (not terminal and log_period is None),
        mininterval=0.1 if terminal or log_period is None else log_period,
        dynamic_ncols=True,
    )


def say(text: str, error: bool = False) -> None:
    """Print a line of its own above the bars."""
    stream = sys.stderr if error else sys.stdout
    coding = getattr(stream, "encoding", None) or "utf-8"
    # What the terminal cannot show, such as a name that is not UTF-8, must not end the program.
    tqdm.write(text.encode(coding, "backslashreplace").decode(coding), file=stream)
