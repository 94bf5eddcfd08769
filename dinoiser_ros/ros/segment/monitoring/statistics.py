# SPDX-License-Identifier: Apache-2.0
"""What the node counts and measures: per camera, thread-safe, in bounded memory."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dinoiser_ros.messages.stamps import nanoseconds_of

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

WINDOW = 10.0  # seconds that rates and latencies look back
_VOTES = 10  # latest frames that tell whether a camera shows the world that the model knows
_MOST_STRANGE = 6  # of them may be none of it: of a camera at home, single frames look so
_MAX_SAMPLES = 2048  # of one series; more than a window holds at any useful rate
# Seconds; more than that is a stamp of another clock (a played bag, a robot's uptime).
_TIMED = ("latency", "inference", "conversion", "overhead", "carry", "points", "objects")
MAX_LATENCY = 3600.0


class Series:
    """Samples with the time they were taken at, of which the last `WINDOW` seconds count."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=_MAX_SAMPLES)

    def add(self, now: float, value: float = 1.0) -> None:
        """Add a sample; `now` in seconds of a monotonic clock."""
        self._samples.append((now, value))

    def values(self, now: float) -> list[float]:
        """The values of the window, oldest first."""
        while self._samples and self._samples[0][0] < now - WINDOW:
            self._samples.popleft()
        return [value for _, value in self._samples]

    def rate(self, now: float) -> float:
        """Samples per second of the time that they span, so that it is right from the start."""
        count = len(self.values(now))
        if count < 2:
            return count / WINDOW
        return count / max(now - self._samples[0][0], 1e-3)


@dataclass
class Window:
    """What happened in the last `WINDOW` seconds; latencies in seconds, NaN without a sample."""

    rate_in: float
    rate_out: float
    drop_ratio: float
    bad: int
    without_depth: int
    latency_median: float
    latency_p95: float
    inference_median: float
    inference_p95: float
    conversion_median: float
    conversion_p95: float
    overhead_median: float
    overhead_p95: float
    carry_median: float
    carry_p95: float
    points_median: float
    points_p95: float
    objects_median: float
    objects_p95: float


@dataclass
class Totals:
    """What happened since the node was configured."""

    received: int = 0
    published: int = 0
    inferred: int = 0
    carried: int = 0
    dropped: int = 0
    idle: int = 0
    points: int = 0
    objects: int = 0
    without_depth: int = 0
    bad: Counter[str] = field(default_factory=Counter)


class CameraStatistics:
    """Counters and timings of one camera. All times in seconds, `now` of a monotonic clock.

    Attributes:
        notice: what is wrong with the latest images as a whole, in one sentence; "" for nothing.
    """

    def __init__(self, now: float) -> None:
        self.notice = ""
        self._familiar: deque[bool] = deque(maxlen=_VOTES)
        self._lock = threading.Lock()
        self._totals = Totals()
        self._series = {
            name: Series()
            for name in ("received", "dropped", "bad", "published", "without_depth", *_TIMED)
        }
        self.started = now
        self.last_received = -math.inf
        self.last_published = -math.inf
        self.last_wanted = -math.inf

    def received(self, now: float) -> None:
        """A message arrived."""
        with self._lock:
            self._totals.received += 1
            self._series["received"].add(now)
            self.last_received = now

    def dropped(self, now: float) -> None:
        """A waiting frame was replaced by a newer one."""
        with self._lock:
            self._totals.dropped += 1
            self._series["dropped"].add(now)

    def idle(self) -> None:
        """A frame was not segmented since nobody subscribes to a result."""
        with self._lock:
            self._totals.idle += 1

    def wanted(self, now: float) -> None:
        """A frame was taken to be segmented."""
        with self._lock:
            # Only the first one after a publication counts: it is what a stall is measured from.
            if self.last_wanted <= self.last_published:
                self.last_wanted = now

    def bad(self, kind: str, now: float) -> None:
        """A message, or a frame, could not be used or was not as it should be."""
        with self._lock:
            self._totals.bad[kind] += 1
            self._series["bad"].add(now)

    def published(
        self,
        now: float,
        *,
        latency: float | None,
        inference: float,
        conversion: float,
        overhead: float,
    ) -> None:
        """The results of a frame are out.

        Args:
            latency: from the image's stamp to now; None where the stamp says nothing.
            inference: spent in the segmenter.
            conversion: spent on messages, both ways.
            overhead: from the message's arrival to now, without the inference.
        """
        with self._lock:
            self._totals.published += 1
            self._totals.inferred += 1
            self._series["published"].add(now)
            if latency is not None:
                self._series["latency"].add(now, latency)
            self._series["inference"].add(now, inference)
            self._series["conversion"].add(now, conversion)
            self._series["overhead"].add(now, overhead)
            self.last_published = now

    def inferred(self, now: float, inference: float) -> None:
        """A frame was segmented, but not published: masks of newer ones are carried from it.

        Args:
            inference: seconds spent in the segmenter.
        """
        with self._lock:
            self._totals.inferred += 1
            self._series["inference"].add(now, inference)

    def carried(self, now: float, latency: float | None, carry: float) -> None:
        """A mask that was carried to a frame is out.

        Args:
            latency: as for `published`.
            carry: seconds that it took, its messages included.
        """
        with self._lock:
            self._totals.published += 1
            self._totals.carried += 1
            self._series["published"].add(now)
            if latency is not None:
                self._series["latency"].add(now, latency)
            self._series["carry"].add(now, carry)
            self.last_published = now

    def familiar(self, known: bool) -> bool:
        """Whether the latest frames are of the model's world, with one more that is, or is not."""
        self._familiar.append(known)
        return self._familiar.count(False) <= _MOST_STRANGE

    def points(self, now: float, seconds: float) -> None:
        """The clouds of a frame are out; making and publishing them took so many seconds."""
        with self._lock:
            self._totals.points += 1
            self._series["points"].add(now, seconds)

    def objects(self, now: float, seconds: float) -> None:
        """The objects of a frame are out; finding and publishing them took so many seconds."""
        with self._lock:
            self._totals.objects += 1
            self._series["objects"].add(now, seconds)

    def without_depth(self, now: float) -> None:
        """Clouds or objects of a frame were wanted, and no depth of its moment was there."""
        with self._lock:
            self._totals.without_depth += 1
            self._series["without_depth"].add(now)

    def totals(self) -> Totals:
        """A copy of the counters."""
        with self._lock:
            return dataclasses.replace(self._totals, bad=Counter(self._totals.bad))

    def window(self, now: float) -> Window:
        """Rates and latencies of the last `WINDOW` seconds."""
        with self._lock:
            series = self._series
            received = len(series["received"].values(now))
            # A frame that was dropped by the network, but got a carried mask, is not lost.
            dropped = len(series["dropped"].values(now)) - len(series["carry"].values(now))
            quantiles = [
                quantile(series[name].values(now), q) for name in _TIMED for q in (0.5, 0.95)
            ]
            return Window(
                series["received"].rate(now),
                series["published"].rate(now),
                max(dropped, 0) / received if received else 0.0,
                len(series["bad"].values(now)),
                len(series["without_depth"].values(now)),
                *quantiles,
            )


def quantile(values: list[float], q: float) -> float:
    """The q-quantile (nearest rank) of some values, NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def latency_of(stamp: Time, now: int) -> float | None:
    """Seconds from a message's stamp until `now` (ns); None if the stamp is of another clock."""
    seconds = (now - nanoseconds_of(stamp)) * 1e-9
    return seconds if 0.0 <= seconds <= MAX_LATENCY else None
