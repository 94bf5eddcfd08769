# SPDX-License-Identifier: Apache-2.0
"""Processes that start at once: forked from one that has imported PyTorch and the node already.

Importing them takes seconds of a processor's time, which dozens of node processes would spend
again and again. Python's fork server is that process; it has no threads and no ROS of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any, TextIO

import torch

# What a node has imported once it is active.
_PRELOADED = [
    "torch",
    "open_clip",
    "dinoiser_ros.ros.segment.main",
    "dinoiser_ros.ros.segment.node",
    "dinoiser_ros.segmentation.models.assembly",
    "dinoiser_ros.segmentation.networks.embedding_network",
]


class ForkedProcess:
    """What the tests use of `subprocess.Popen`, with stdout and stderr in one pipe.

    Args:
        code: Python code to run.
        arguments: what it finds in sys.argv[1:].
        environment: its environment.
    """

    def __init__(self, code: str, arguments: list[str], environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        reading, writing = context.Pipe(duplex=False)
        self._process = context.Process(target=_run, args=(code, arguments, environment, writing))
        self._process.start()
        writing.close()
        self.stdout: TextIO = os.fdopen(os.dup(reading.fileno()), encoding="utf-8")
        reading.close()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return self._process.exitcode


def _run(code: str, arguments: list[str], environment: dict[str, Any], output: Connection) -> None:
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", 1)))  # read at the import, before
    exec(compile(code, "<the test's program>", "exec"), {"__name__": "__main__"})
