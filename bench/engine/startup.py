# SPDX-License-Identifier: Apache-2.0
"""From the start of a process to its first mask, and the memory that takes; weights from a file.

Beside it what code of the usual kind, such as the authors', does first: importing torch and
open_clip, and reading the weights. To segment, this package imports no open_clip. Each is a process
of its own; the disk's cache is warm, as are those of Python and prompts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file

from .segmenters import random_parts
from .timing import Times

_SIZE = (480, 640)
_PROMPTS = ["background", "wooden floor", "person", "traffic cone", "spilled coffee"]

_BARE = """
import sys, torch, open_clip
from safetensors.torch import load_file
weights = load_file(sys.argv[1])
"""
_FIRST_MASK = f"""
import sys
import numpy as np
from dinoiser_ros.segmentation import Segmenter
segmenter = Segmenter(sys.argv[4], sys.argv[1], sys.argv[2], precision=sys.argv[3], offline=True,
    inference_size=0)
segmenter.set_prompts({_PROMPTS!r})
segmenter.segment(np.zeros({(*_SIZE, 3)!r}, np.uint8))
"""
_REPORT = """
print("done", flush=True)
status = open("/proc/self/status").read()
print(status.partition("VmHWM:")[2].split()[0])
"""


@dataclass(frozen=True)
class Startup:
    """What was found.

    Attributes:
        times: "imports and weights" and "first mask", from the start of the process.
        peak_mb: resident memory of the latter at its highest, the median.
        weights_mb: size of the weights' files.
    """

    times: dict[str, Times]
    peak_mb: float
    weights_mb: float


def measure_startup(model: str, precision: str, rounds: int) -> Startup:
    """Start processes in turns.

    Args:
        model, precision: as `Segmenter` takes them.
    """
    with tempfile.TemporaryDirectory(prefix="dinoiser_bench_") as folder:
        files = _write_weights(model, Path(folder))
        scripts = {"imports and weights": _BARE, "first mask": _FIRST_MASK}
        arguments = [*map(str, files), precision, model]
        cache = {"DINOISER_CACHE": folder}
        _run(_FIRST_MASK, arguments, cache)  # fills the caches
        runs = [
            {name: _run(script, arguments, cache) for name, script in scripts.items()}
            for _ in range(rounds)
        ]
        size = sum(file.stat().st_size for file in files) / 1e6
    times = {name: Times(tuple(1e3 * run[name][0] for run in runs)) for name in scripts}
    peaks = Times(tuple(run["first mask"][1] for run in runs))
    return Startup(times, peaks.median, size)


def _write_weights(model: str, folder: Path) -> tuple[Path, Path]:
    """Random weights of CLIP, as the hub has them, and of heads."""
    clip, _, heads = random_parts(model)
    clip_file, heads_file = folder / "clip.safetensors", folder / "heads.safetensors"
    save_file(clip.state_dict(), clip_file)
    save_file(heads.state_dict(), heads_file)
    return clip_file, heads_file


def _run(script: str, arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds until a script was through, and its peak of memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", script + _REPORT, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    first = process.stdout.readline()
    seconds = time.perf_counter() - start
    rest = process.stdout.read()
    if process.wait() or first != "done\n":
        raise RuntimeError("a process that was timed did not come to its end: see above")
    return seconds, int(rest) / 1e3 * 1.024
