# SPDX-License-Identifier: Apache-2.0
"""What the driver asks of workers, wherever they are."""

from __future__ import annotations

from typing import Protocol

from .jobs import Job, Report

MOST_FAILED_STARTS = 3  # of workers, one after the other, that end before they have a model


class Pool(Protocol):
    """Workers that each do one job at a time; one that ends is started again.

    Attributes:
        ready_seconds: how long workers that have a model were there, all together.
    """

    ready_seconds: float

    def free(self) -> int:
        """How many workers wait for a job."""

    def submit(self, job: Job) -> None:
        """Give a job to a worker that waits for one."""

    def finished(self) -> list[tuple[Job, Report | None]]:
        """Wait until something happened; jobs that are done, None where the worker ended.

        Raises:
            DinoiserError: workers cannot be started.
        """

    def __enter__(self) -> Pool: ...

    def __exit__(self, *_: object) -> None:
        """End all workers, whatever they are at."""
