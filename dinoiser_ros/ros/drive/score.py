# SPDX-License-Identifier: Apache-2.0
"""What the drives came to, in one line."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """A drive through one room: to the goal over the grass, and back when grass is forbidden.

    Attributes:
        goals: how many goals were to be reached.
        reached: how many were.
        collisions: how often the robot touched something.
        touched: class names of what it touched.
        grass_m: metres on grass while it was allowed.
        forbidden_m: metres on grass while it was forbidden.
        ratios: of each leg that was finished: driven over the shortest true path.
        latencies: seconds from each image to its clouds.
    """

    goals: int = 0
    reached: int = 0
    collisions: int = 0
    touched: list[str] = field(default_factory=list)
    grass_m: float = 0.0
    forbidden_m: float = 0.0
    ratios: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        touched = f" ({', '.join(self.touched)})" if self.touched else ""
        return (
            f"{self.reached} of {self.goals} goals, {self.collisions} collisions{touched}, "
            f"{self.grass_m:.2f} m on grass while it was allowed, {self.forbidden_m:.2f} m after"
        )


def summary(outcomes: Sequence[Outcome]) -> str:
    """The last line: sums over rooms, the mean path ratio and the median latency."""
    ratios = [ratio for outcome in outcomes for ratio in outcome.ratios]
    latencies = [latency for outcome in outcomes for latency in outcome.latencies]
    ratio = statistics.mean(ratios) if ratios else float("nan")
    latency = statistics.median(latencies) * 1000 if latencies else float("nan")
    return (
        f"drive: goals={sum(entry.reached for entry in outcomes)}/"
        f"{sum(entry.goals for entry in outcomes)} "
        f"collisions={sum(entry.collisions for entry in outcomes)} "
        f"forbidden_m={sum(entry.forbidden_m for entry in outcomes):.2f} "
        f"path_ratio={ratio:.2f} latency_ms={latency:.0f}"
    )
