# SPDX-License-Identifier: Apache-2.0
"""Times of several functions in one run, taken in turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Times:
    """Milliseconds of the calls of one function."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def p95(self) -> float:
        """The 95th percentile, nearest rank."""
        return self._percentile(95)

    @property
    def p99(self) -> float:
        """The 99th percentile, nearest rank: of less than a hundred calls the slowest."""
        return self._percentile(99)

    def _percentile(self, percent: int) -> float:
        rank = -(-percent * len(self.samples) // 100)
        return sorted(self.samples)[rank - 1]


_LEAST_ROUNDS = 2  # however long they take


def in_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int, seconds: float = math.inf
) -> dict[str, Times]:
    """Call every function once a round, so that whatever slows the machine down meets all alike.

    Args:
        functions: what to time, by name.
        rounds: how often; what comes before, to warm up, does not count.
        seconds: after which no round begins, but for the first two.
    """
    end = time.perf_counter() + seconds
    warm_up = 3 if torch.cuda.is_available() else 1  # the second frame of a kind makes a CUDA graph
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(warm_up + rounds):
        if number >= warm_up + _LEAST_ROUNDS and time.perf_counter() >= end:
            break
        for name, function in functions.items():
            synchronise()
            start = time.perf_counter()
            function()
            synchronise()
            if number >= warm_up:
                samples[name].append(1e3 * (time.perf_counter() - start))
    return {name: Times(tuple(values)) for name, values in samples.items()}


def synchronise() -> None:
    """Wait for the GPU, where there is one in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
