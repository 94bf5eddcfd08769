# SPDX-License-Identifier: Apache-2.0
"""What the soak counts, and whether that is good enough. Pure functions and plain values."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .frames import KINDS, Tag

MAX_GROWTH_PERCENT = 2.0
MAX_SERVICE_MS = 100.0
# Share of the masks that has to be seen. Best-effort transport may lose some, but there have to be
# enough of them to judge their stamps by.
LEAST_SEEN = 0.9
WARM_UP = 0.25  # share of the run's memory samples that do not count
# Kinds of bad_<kind> in /diagnostics that a frame can have and be answered nevertheless.
_ANSWERED_ANYWAY = ("bad_stamp",)


@dataclass(frozen=True)
class Counters:
    """What the node's /diagnostics count of its cameras, together.

    Attributes:
        taken: frames that were received while the node worked.
        answered: frames that were segmented, and published or carried on.
        dropped: frames that a newer one replaced.
        bad: messages that could not be used.
        bad_stamps: messages with a stamp of zero or before the last one's; they are answered.
    """

    taken: int = 0
    answered: int = 0
    dropped: int = 0
    bad: int = 0
    bad_stamps: int = 0

    @property
    def lost(self) -> int:
        """Frames that were taken and of which nothing is known any more."""
        return self.taken - self.answered - self.dropped - self.bad

    @classmethod
    def of(cls, cameras: Sequence[Mapping[str, str]]) -> Counters:
        """From the values that /diagnostics has for each camera."""

        def total(name: str) -> int:
            return sum(int(values.get(name, 0)) for values in cameras)

        stamps = sum(total(name) for name in _ANSWERED_ANYWAY)
        return cls(
            total("received") - total("not_wanted"),
            total("inferred"),
            total("dropped"),
            total("bad") - stamps,
            stamps,
        )


class Answers:
    """Checks masks against what their frames' tags demand.

    Attributes:
        wrong: what was wrong, in sentences.
        kinds: names of the frames' kinds that were answered.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self.wrong: list[str] = []
        self.kinds: set[str] = set()

    @property
    def seen(self) -> int:
        """Frames whose mask was seen."""
        return len(self._seen)

    def check(self, camera: str, frame_id: str, stamp: int, size: tuple[int, int]) -> None:
        """Look at one mask.

        Args:
            camera: whose results' topic it came on.
            frame_id, stamp: of its header; the stamp in nanoseconds.
            size: (height, width).
        """
        try:
            tag = Tag.parse(frame_id)
        except ValueError:
            self.wrong.append(f"a mask of {camera} has the frame_id '{frame_id[:80]}'")
            return
        faults = {
            "came from another camera": tag.camera != camera,
            f"has the stamp {stamp}": tag.stamp != stamp,
            f"has the size {size}": (tag.height, tag.width) != size,
            "should not be": not KINDS[tag.kind].answered,
            "came twice": (tag.camera, tag.number) in self._seen,
        }
        self.wrong += [f"the mask of {frame_id} {text}" for text, is_so in faults.items() if is_so]
        self._seen.add((tag.camera, tag.number))
        self.kinds.add(tag.kind)


def memory_growth_percent(samples: Sequence[float]) -> float:
    """How much a series of memory readings has grown after the warm-up.

    The median of the last quarter against that of the first quarter, of what follows the first
    `WARM_UP` of the series: single peaks (a huge image) count in neither.

    Args:
        samples: megabytes, at even distances in time.

    Returns:
        Percent, negative where it shrank; 0 with fewer than 8 samples, which say nothing.
    """
    steady = samples[int(len(samples) * WARM_UP) :]
    if len(samples) < 8:
        return 0.0
    part = max(len(steady) // 4, 1)
    before, after = statistics.median(steady[:part]), statistics.median(steady[-part:])
    return (after / before - 1.0) * 100.0


@dataclass
class Result:
    """What a soak has come to.

    Attributes:
        counters: of the node.
        seen: frames whose mask was seen.
        crashes: times that the node's process ended by itself.
        growth_percent: of the node's memory.
        worst_service_ms: of the services that have to answer at once.
        problems: what else was not as it has to be, in sentences.
    """

    counters: Counters = field(default_factory=Counters)
    seen: int = 0
    crashes: int = 0
    growth_percent: float = 0.0
    worst_service_ms: float = 0.0
    problems: list[str] = field(default_factory=list)

    def failures(self) -> list[str]:
        """The targets that were not met, in sentences; none for a pass."""
        found = list(self.problems)
        if self.crashes:
            found.append("the node crashed")
        if not self.counters.answered:
            found.append("no frame was answered")
        elif self.seen < self.counters.answered * LEAST_SEEN:
            found.append(f"only {self.seen} of {self.counters.answered} masks were seen")
        if self.counters.lost:
            found.append(f"{self.counters.lost} frames were neither answered nor counted")
        if self.growth_percent >= MAX_GROWTH_PERCENT:
            found.append(f"memory grew by {self.growth_percent:.2f} %")
        if self.worst_service_ms >= MAX_SERVICE_MS:
            found.append(f"a service took {self.worst_service_ms:.1f} ms")
        return found

    def line(self) -> str:
        """The last line of a soak."""
        counters = self.counters
        return (
            f"soak: in={counters.taken} out={counters.answered} dropped={counters.dropped} "
            f"bad={counters.bad} crashes={self.crashes} lost={counters.lost} "
            f"memory_growth_percent={self.growth_percent:.2f} "
            f"worst_service_ms={self.worst_service_ms:.1f}"
        )
