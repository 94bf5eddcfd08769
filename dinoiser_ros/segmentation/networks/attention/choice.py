# SPDX-License-Identifier: Apache-2.0
"""The fastest of `kernels` on this machine: measured once, then kept in the cache folder.

A measurement takes a few milliseconds for each kernel. It is made when a frame first needs it, and
never again for the same processor, PyTorch, number format, threads, shape of heads and about the
same number of tokens. Where the folder cannot be written to, each process measures for itself.
While other programs take the processor, its time is compared instead of that which passes, and the
choice is kept, too, so that all processes agree, until one measures undisturbed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from dinoiser_ros.segmentation.weights.cache import cache_folder
from dinoiser_ros.segmentation.weights.download import write_to_cache
from dinoiser_ros.utils.processor import processor_name

from .kernels import Kernel, candidates

_COUNTS = (256, 512, 1024, 2048)  # of tokens, that are measured
_HEADS = 4  # at most, that are measured
_ROUNDS = 3
_GAIN = 0.95  # of the usual kernel's time, that another one has to stay below
_HOPELESS = 1.5  # times the fastest; measured no further
_UNDISTURBED = 0.8  # of the time that passes, that a process has the processor on a quiet machine
_MOST_BYTES = 4096  # of a file that is ours


@dataclass(frozen=True)
class Situation:
    """What the choice depends on.

    Attributes:
        heads: of the attention.
        channels: of each head.
        tokens: about how many.
        dtype: of queries, keys and values, such as "bfloat16".
        low: see `candidates`.
        threads: PyTorch's.
        processor: its name.
        torch: PyTorch's version.
    """

    heads: int
    channels: int
    tokens: int
    dtype: str
    low: bool
    threads: int
    processor: str
    torch: str

    @property
    def kernels(self) -> dict[str, Kernel]:
        """The candidates."""
        return candidates(getattr(torch, self.dtype), self.tokens, self.low)


@dataclass(frozen=True)
class Choice:
    """The kernel that is used, and why.

    Attributes:
        kernel: its name among the candidates.
        milliseconds: by kernel, of up to four heads; empty if there was nothing to choose.
    """

    kernel: str
    milliseconds: Mapping[str, float]


class AttentionChooser:
    """Chooses for a whole process; may be used by several threads.

    Args:
        folder: gives the folder that choices are kept in, or raises RuntimeError or OSError.
        clock: seconds that pass.
        used: seconds of processor time of this process.
    """

    def __init__(
        self,
        folder: Callable[[], Path] = lambda: cache_folder() / "attention",
        clock: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._folder, self._clock, self._used = folder, clock, used
        self._lock = threading.Lock()
        self._choices: dict[Situation, Choice] = {}

    def kernel(self, qkv: Tensor, heads: int, low: bool = False) -> Kernel:
        """The kernel for (B, T, 3 * width) queries, keys and values; measures it if need be.

        Args:
            low: see `candidates`.
        """
        channels = qkv.shape[2] // (3 * heads)
        situation = situation_of(heads, channels, qkv.shape[1], qkv.dtype, low)
        return situation.kernels[self.choice(situation).kernel]

    def choice(self, situation: Situation) -> Choice:
        """The choice and what was measured for it."""
        with self._lock:  # two measurements at once would disturb each other
            if situation not in self._choices:
                self._choices[situation] = self._made(situation)
            return self._choices[situation]

    def _made(self, situation: Situation) -> Choice:
        kernels = situation.kernels
        if len(kernels) == 1:
            return Choice(next(iter(kernels)), {})
        try:
            path = self._folder() / f"{_digest(situation)}.json"
        except (RuntimeError, OSError):  # a user without a home
            return measure(situation, self._clock, self._used)[0]
        if kept := _read(path, situation):
            return kept
        found, quiet = measure(situation, self._clock, self._used)
        # Another process may have been faster, and what was measured here is no better.
        if kept := _read(path, situation, disturbed=not quiet):
            return kept
        content = {"situation": asdict(situation), "disturbed": not quiet, **asdict(found)}
        with contextlib.suppress(OSError):  # it only saves time
            write_to_cache(path, json.dumps(content, indent=1).encode())
        return found


CHOOSER = AttentionChooser()


def situation_of(
    heads: int, channels: int, tokens: int, dtype: torch.dtype, low: bool = False
) -> Situation:
    """What the choice depends on for attention in this process.

    Args:
        tokens: T; rounded to a count that is measured.
    """
    nearest = min(_COUNTS, key=lambda count: abs(math.log(count / tokens)))
    name = str(dtype).removeprefix("torch.")
    return Situation(
        heads=heads,
        channels=channels,
        tokens=nearest,
        dtype=name,
        low=low and dtype == torch.float32,
        threads=torch.get_num_threads(),
        processor=processor_name(),
        torch=torch.__version__,
    )


@torch.no_grad()
def measure(
    situation: Situation, clock: Callable[[], float], used: Callable[[], float]
) -> tuple[Choice, bool]:
    """Time the candidates in turns, on random numbers.

    Args:
        clock, used: see `AttentionChooser`.

    Returns:
        The choice, and whether the machine was quiet; if not, its times are of the processor.
    """
    heads = min(situation.heads, _HEADS)
    shape = (1, situation.tokens, 3 * heads * situation.channels)
    generator = torch.Generator().manual_seed(0)  # the global one is other people's
    qkv = torch.randn(shape, generator=generator).to(getattr(torch, situation.dtype))
    kernels = situation.kernels
    best = dict.fromkeys(kernels, (math.inf, math.inf))  # seconds by both clocks
    for kernel in kernels.values():  # the first call loads and allocates
        kernel(qkv, heads)
    start = clock(), used()
    for _ in range(_ROUNDS):
        least = [min(spans[index] for spans in best.values()) for index in (0, 1)]
        for name, kernel in kernels.items():
            if all(a > _HOPELESS * b for a, b in zip(best[name], least, strict=True)):
                continue
            before = clock(), used()
            kernel(qkv, heads)
            span = clock() - before[0], used() - before[1]
            best[name] = min(best[name][0], span[0]), min(best[name][1], span[1])
    quiet = used() - start[1] >= _UNDISTURBED * (clock() - start[0])
    seconds = {name: spans[0 if quiet else 1] for name, spans in best.items()}
    return Choice(_chosen(seconds), {name: round(1e3 * s, 3) for name, s in seconds.items()}), quiet


def _chosen(seconds: Mapping[str, float]) -> str:
    """The fastest, or the usual one, which is the first, if the gain is small."""
    usual, fastest = next(iter(seconds)), min(seconds, key=lambda name: seconds[name])
    return fastest if seconds[fastest] < _GAIN * seconds[usual] else usual


def _digest(situation: Situation) -> str:
    text = json.dumps(asdict(situation), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, situation: Situation, disturbed: bool = False) -> Choice | None:
    """What is kept for this situation; None if nothing is, or something else.

    Args:
        disturbed: whether a choice that was made on a busy machine counts.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None  # opening a pipe would wait for somebody to write to it
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
        kernel, times = content["kernel"], content["milliseconds"]
        if content["situation"] != asdict(situation) or kernel not in situation.kernels:
            return None
        if content["disturbed"] is not False and not disturbed:
            return None
        return Choice(kernel, {str(name): float(value) for name, value in times.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
