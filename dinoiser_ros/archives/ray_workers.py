# SPDX-License-Identifier: Apache-2.0
"""Workers that are actors of Ray, on one machine or many; Ray finds places for them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from dinoiser_ros.errors import MediaError
from dinoiser_ros.utils.progress import say
from dinoiser_ros.utils.sentences import first_line

from .jobs import Job, Report
from .pool import MOST_FAILED_STARTS
from .worker import Task, Worker

_PATIENCE = 30.0  # seconds after which it is said that Ray has no room for a worker


class RayWorkers:
    """A `Pool` of actors, each with a GPU or, in a cluster without, with its share of the cores.

    Args:
        task: what they do.
        count: how many there are; None for one on each GPU or, without GPUs, on each machine.
        device: where they compute; Ray shows each actor only the GPUs that are its own.
        address: the cluster's; "" for that of the environment (RAY_ADDRESS) or of this machine,
            or else one that is started here.

    Raises:
        MediaError: Ray is not installed, or there is no cluster at this address.
    """

    def __init__(self, task: Task, count: int | None, device: str, address: str) -> None:
        self.ready_seconds = 0.0
        self._ray = _connect(address)
        self._rooms = _rooms(self._ray, count, device)
        self._actor = self._ray.remote(Worker).options(
            num_cpus=self._rooms.cpus, num_gpus=self._rooms.gpus
        )
        self._arguments = task, device, self._rooms.cpus
        self._team = [self._start() for _ in range(self._rooms.count)]
        self._failed_starts = 0
        self._told = False

    def free(self) -> int:
        """See `Pool.free`."""
        return sum(member.is_free for member in self._team)

    def submit(self, job: Job) -> None:
        """See `Pool.submit`."""
        member = next(member for member in self._team if member.is_free)
        member.job, member.waiting = job, member.actor.perform.remote(job)

    def finished(self) -> list[tuple[Job, Report | None]]:
        """See `Pool.finished`."""
        waiting = {member.waiting: member for member in self._team if member.waiting is not None}
        heard, _ = self._ray.wait(list(waiting), timeout=_PATIENCE)
        if not heard:
            self._tell()
        return [event for reference in heard for event in self._hear(waiting[reference])]

    def _start(self) -> _Actor:
        """A new actor; the answer to its first call comes when Ray has a place for it."""
        actor = self._actor.remote(*self._arguments)
        return _Actor(actor, actor.start.remote())

    def _hear(self, member: _Actor) -> list[tuple[Job, Report | None]]:
        reference, member.waiting = member.waiting, None
        job, member.job = member.job, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._lose(member, job, error)
        if isinstance(answer, Report):
            return [] if job is None else [(job, answer)]
        if answer:  # its model cannot be loaded
            raise MediaError(answer)
        member.since, self._failed_starts = time.monotonic(), 0
        return []

    def _lose(
        self, member: _Actor, job: Job | None, error: Exception
    ) -> list[tuple[Job, Report | None]]:
        """Put another actor in the place of one that ended; returns what that was at."""
        if member.since is not None:
            self.ready_seconds += time.monotonic() - member.since
        else:
            self._failed_starts += 1
            if self._failed_starts == MOST_FAILED_STARTS:
                reason = str(error).strip().splitlines()[-1]  # the end of a traceback
                raise MediaError(f"Ray's workers end before they have a model: {reason}")
        self._ray.kill(member.actor)  # if it is only out of reach, it must not write any more
        self._team[self._team.index(member)] = self._start()
        return [] if job is None else [(job, None)]

    def _tell(self) -> None:
        """Say, once, that Ray has no room for any worker yet."""
        if self._told or any(member.since is not None for member in self._team):
            return
        self._told = True
        say(
            f"dinoiser: waiting for Ray, which has no room yet for a worker with {self._rooms}.",
            error=True,
        )

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        """See `Pool.__exit__`."""
        for member in self._team:
            if member.since is not None:
                self.ready_seconds += time.monotonic() - member.since
            self._ray.kill(member.actor)
        self._ray.shutdown()


@dataclass(eq=False)
class _Actor:
    """A worker: what it was asked last, what it is at, and since when it has its model."""

    actor: Any
    waiting: Any = None
    job: Job | None = None
    since: float | None = None

    @property
    def is_free(self) -> bool:
        return self.since is not None and self.waiting is None


@dataclass(frozen=True)
class _Rooms:
    """What Ray is asked for: so many workers with so many cores and GPUs each."""

    count: int
    cpus: int
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MediaError(
            f"--ray needs Ray, which cannot be imported ({error}): pip install 'ray>=2.9', or "
            "leave --ray out and give --workers."
        ) from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    # The default of Ray's next versions, without its warning.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    more = {"address": address} if address else {"include_dashboard": False}
    try:
        ray.init(logging_level="ERROR", log_to_driver=False, **more)
    except Exception as error:  # whatever Ray raises for an address that leads nowhere
        raise MediaError(
            f"Ray cannot be reached at {address or 'this machine'}: {first_line(error, 500)}"
        ) from error
    return ray


def _rooms(ray: Any, count: int | None, device: str) -> _Rooms:
    """How many workers there are, and what each of them gets."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = 0 if device == "cpu" else int(sum(node.get("GPU", 0) for node in nodes))
    size = count or gpus or len(nodes)
    if gpus:
        return _Rooms(size, 1, 1 / -(-size // gpus))
    cores = min(int(node.get("CPU", 0)) or 1 for node in nodes)
    return _Rooms(size, max(1, cores // -(-size // len(nodes))), 0)
