# SPDX-License-Identifier: Apache-2.0
"""A quiet end where nobody reads the output any more, as in `dinoiser --help | head -1`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

CLOSED_PIPE = 141  # the shell's status of a program that wrote into a closed pipe


@contextlib.contextmanager
def end_with_reader() -> Iterator[None]:
    """End the process without a word once standard output is closed; decorates a `main`.

    Python notices a closed pipe when it empties its buffer, which may be as late as at its exit,
    and prints a traceback then (docs.python.org, "signal", note on SIGPIPE).

    Raises:
        SystemExit: of status `CLOSED_PIPE`.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer goes nowhere, also at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE) from None
