# SPDX-License-Identifier: Apache-2.0
"""Child processes that are always ended and reaped, however the parent ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# Seconds that a child gets to end before it is killed.
_PATIENCE = 5.0
_PR_SET_PDEATHSIG = 1


class Children:
    """The processes that were started, by name. Use it in a ``with``: leaving it ends them."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, executable: Path, arguments: Sequence[str]) -> None:
        """Start a Python script with this interpreter; its output goes to this process's."""
        self._processes[name] = subprocess.Popen(
            [sys.executable, str(executable), *arguments],
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the parent only, which ends its children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )

    def ended(self) -> list[str]:
        """Those that ended by themselves, as "name (exit status n)"."""
        return [
            f"{name} (exit status {process.returncode})"
            for name, process in self._processes.items()
            if process.poll() is not None
        ]

    def stop(self) -> None:
        """End all that still run, politely first, and reap them."""
        # Not SIGINT: a Python that is still starting answers it with a traceback.
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = [entry for entry in self._processes.values() if entry.poll() is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)


def _die_with_parent() -> None:
    """Linux: get SIGTERM when the parent is gone, even if it was killed."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # gone already
            os.kill(os.getpid(), signal.SIGTERM)
