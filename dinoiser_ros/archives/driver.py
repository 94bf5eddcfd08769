# SPDX-License-Identifier: Apache-2.0
"""Hand out work, write down what is done, and go on where workers end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from dinoiser_ros.media.inputs import Input
from dinoiser_ros.media.settings import Outcome

from .jobs import (
    BagAssembly,
    BagSlice,
    Job,
    Report,
    Result,
    WholeInputs,
    entries_of,
    jobs_of,
    split,
)
from .manifest import Manifest
from .pool import Pool

MOST_LOSSES = 3  # workers that ended at the same job; then it is the job's fault
Told = Callable[[Input, Outcome | str], None]


class Driver:
    """One run over an archive.

    Args:
        manifest: what is done, and where it is noted.
        tell: called with each input when it is done, with its outcome or the sentence that says why
            it could not be done.
        count: called after each job with the images of this run so far.

    Attributes:
        frames: how many images this run segmented.
        busy_seconds: how long its workers were at jobs, all together.
        lost: how many workers ended.
    """

    def __init__(
        self, manifest: Manifest, tell: Told, count: Callable[[int], None] = lambda frames: None
    ) -> None:
        self.frames = 0
        self.busy_seconds = 0.0
        self.lost = 0
        self._manifest, self._tell, self._count = manifest, tell, count
        self._queue: deque[Job] = deque()
        self._slices: dict[str, tuple[BagSlice, ...]] = {}  # of bags that are under way
        self._left: dict[str, set[int]] = {}  # the starts of their slices that are not done
        self._losses: Counter[Job] = Counter()

    def run(self, entries: Sequence[Input], pool: Pool) -> None:
        """Do all of these inputs.

        Raises:
            DinoiserError: workers cannot be started.
            OSError: the manifest cannot be written.
        """
        self._queue.extend(jobs_of(entries))
        running = self._hand_out(pool)
        while running or self._queue:
            finished = pool.finished()
            # Before what is done is on the disk: no worker waits for that.
            running += self._hand_out(pool) - len(finished)
            for job, report in finished:
                if report is None:
                    self._again(job)
                else:
                    self._note(job, report)
            running += self._hand_out(pool)

    def _hand_out(self, pool: Pool) -> int:
        """Give jobs to the workers that wait for one; returns how many."""
        count = min(pool.free(), len(self._queue))
        for _ in range(count):
            pool.submit(self._begun(self._queue.popleft()))
        return count

    def _begun(self, job: Job) -> Job:
        """Note that a job begins, so that a later try knows what results are its own."""
        if isinstance(job, WholeInputs):
            return replace(job, ours=self._manifest.begin(job.entries))
        return job

    def _note(self, job: Job, report: Report) -> None:
        self.frames += report.frames
        self.busy_seconds += report.seconds
        self._count(self.frames)
        done: dict[Input, Outcome | str] = {}
        for result in report.results:
            if result.slices:
                self._divide(result)
            elif result.sentence:
                if not self._is_in_vain(job):
                    done[result.entry] = result.sentence
                    self._drop(result.entry)
            elif result.outcome is not None:
                done[result.entry] = result.outcome
            elif isinstance(job, BagSlice):
                self._manifest.add_slice(job)
                self._tick_off(job)
        self._close(done)

    def _close(self, done: dict[Input, Outcome | str]) -> None:
        """Note inputs as done or failed, then say so."""
        if done:
            self._manifest.add(done)
        for entry, found in done.items():
            self._tell(entry, found)

    def _divide(self, result: Result) -> None:
        """Queue the slices of a bag that are not done yet, before all that is not begun."""
        name = result.entry.name
        self._slices[name] = result.slices
        missing = [piece for piece in result.slices if not self._manifest.has(piece)]
        self._left[name] = {piece.start for piece in missing}
        self._queue.extendleft(reversed(missing))
        if not missing:
            self._assemble(result.entry)

    def _tick_off(self, piece: BagSlice) -> None:
        left = self._left.get(piece.entry.name)
        if left is None:  # another slice of this bag failed
            return
        left.discard(piece.start)
        if not left:
            self._assemble(piece.entry)

    def _assemble(self, entry: Input) -> None:
        del self._left[entry.name]
        self._queue.appendleft(BagAssembly(entry, self._slices.pop(entry.name)))

    def _drop(self, entry: Input) -> None:
        """Begin no other slice of a bag that has failed; those that are done are kept."""
        self._slices.pop(entry.name, None)
        if self._left.pop(entry.name, None) is not None:
            kept = [j for j in self._queue if not (isinstance(j, BagSlice) and j.entry == entry)]
            self._queue = deque(kept)

    def _is_in_vain(self, job: Job) -> bool:
        """Whether a job is a slice of a bag that failed, which was said, while it was under way."""
        return isinstance(job, BagSlice) and job.entry.name not in self._left

    def _again(self, job: Job) -> None:
        """Queue what a worker was at when it ended, until it is clear that the job ends workers."""
        self.lost += 1
        if self._is_in_vain(job):
            return
        if isinstance(job, WholeInputs) and len(job.entries) > 1:
            self._queue.extendleft(reversed(split(job)))
            return
        key = job if not isinstance(job, WholeInputs) else WholeInputs(job.entries)
        self._losses[key] += 1
        if self._losses[key] < MOST_LOSSES:
            self._queue.appendleft(job)
            return
        sentence = (
            f"{MOST_LOSSES} workers ended while they were at it: memory may be short, or a library "
            "cannot read it."
        )
        (entry,) = entries_of(job)
        self._drop(entry)
        self._close({entry: sentence})


class Throughput:
    """How fast a run was, as a sentence.

    Args:
        driver: of the run, which begins now.
        pool: its workers.
        count: how many of them there are.
    """

    def __init__(self, driver: Driver, pool: Pool) -> None:
        self._driver, self._pool, self._begin = driver, pool, time.monotonic()

    def __str__(self) -> str:
        """To be asked for after the pool was left."""
        driver, seconds = self._driver, time.monotonic() - self._begin
        busy = driver.busy_seconds / self._pool.ready_seconds if self._pool.ready_seconds else 0.0
        text = (
            f"{driver.frames} images in {seconds:.1f} s, {driver.frames / seconds:.2f} a second; "
            f"workers with a model were at work {100 * min(busy, 1.0):.0f} % of the time"
        )
        return text + (f"; {driver.lost} ended and were replaced" if driver.lost else "")
