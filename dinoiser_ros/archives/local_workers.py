# SPDX-License-Identifier: Apache-2.0
"""Workers that are processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import torch

from dinoiser_ros.errors import MediaError

from .jobs import Job, Report
from .pool import MOST_FAILED_STARTS
from .worker import Task, Worker


class LocalWorkers:
    """A `Pool` of processes, which share the CPU cores and GPUs of this machine.

    The first one loads its model alone, so that files that are missing are fetched once.

    Args:
        task: what they do.
        count: how many there are.
        device: where they compute; with "auto" or "cuda" they take turns on all GPUs.
    """

    def __init__(self, task: Task, count: int, device: str) -> None:
        self.ready_seconds = 0.0
        self._task = task
        self._threads = max(1, torch.get_num_threads() // count)
        self._devices = [_device(device, number) for number in range(count)]
        self._team: list[_Process] = []
        self._failed_starts = 0

    def free(self) -> int:
        """See `Pool.free`."""
        return sum(member.is_free for member in self._team)

    def submit(self, job: Job) -> None:
        """See `Pool.submit`."""
        member = next(member for member in self._team if member.is_free)
        member.job = job
        with contextlib.suppress(OSError):  # it ended while it waited: `finished` finds that out
            member.connection.send(job)

    def finished(self) -> list[tuple[Job, Report | None]]:
        """See `Pool.finished`."""
        self._complete()
        heard = wait([member.connection for member in self._team])
        found = []
        for member in [member for member in self._team if member.connection in heard]:
            try:
                found += self._hear(member, member.connection.recv())
            except (EOFError, OSError):
                found += self._lose(member)
        return found

    def _complete(self) -> None:
        """Start the workers that are missing, once one of them is known to work."""
        missing = self._devices[:]
        for member in self._team:
            missing.remove(member.device)
        known = any(member.since is not None for member in self._team)
        self._team += [
            _start(self._task, device, self._threads)
            for device in (missing if known else missing[: max(0, 1 - len(self._team))])
        ]

    def _hear(self, member: _Process, message: Report | str) -> list[tuple[Job, Report | None]]:
        if isinstance(message, Report):
            job, member.job = member.job, None
            return [] if job is None else [(job, message)]
        if message:  # its model cannot be loaded
            raise MediaError(message)
        member.since = time.monotonic()
        self._failed_starts = 0
        return []

    def _lose(self, member: _Process) -> list[tuple[Job, Report | None]]:
        """Take a process that ended out of the team; returns what it was at."""
        self._team.remove(member)
        member.end()
        if member.since is None:
            self._failed_starts += 1
            if self._failed_starts == MOST_FAILED_STARTS:
                raise MediaError(
                    f"workers end before they have a model (exit status "
                    f"{member.process.exitcode}): if memory is short, give fewer --workers."
                )
            return []
        self.ready_seconds += time.monotonic() - member.since
        return [] if member.job is None else [(member.job, None)]

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        """See `Pool.__exit__`."""
        for member in self._team:
            if member.since is not None:
                self.ready_seconds += time.monotonic() - member.since
            member.end()


@dataclass(eq=False)
class _Process:
    """A worker, seen from outside: what it is at, and since when it has its model."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    device: str
    job: Job | None = None
    since: float | None = None

    @property
    def is_free(self) -> bool:
        return self.since is not None and self.job is None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _start(task: Task, device: str, threads: int) -> _Process:
    # A fork of a process that has used CUDA or threads cannot; the fork server has only imported.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Worker.__module__])
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, task, device, threads), daemon=True)
    # Ctrl-C is for the driver, which ends this process; also while it still imports its modules.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    there.close()  # so that the end of the process is the end of the pipe
    return _Process(process, here, device)


def _serve(connection: Connection, task: Task, device: str, threads: int) -> None:
    """What the process of a worker does."""
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    worker = Worker(task, device, threads)
    connection.send(worker.start())
    while True:
        connection.send(worker.perform(connection.recv()))


def _end_with_the_driver() -> None:
    """Never outlive a driver that was killed: the next one does the same work."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _device(device: str, number: int) -> str:
    """Where a worker of that number computes."""
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return f"cuda:{number % gpus}" if gpus > 1 else device
