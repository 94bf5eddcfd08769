# SPDX-License-Identifier: Apache-2.0
"""Engines beside PyTorch: `make bench-engines`.

ViT-B/16 has seeded random weights, so that nothing is downloaded; the embedded model has its own.
The engines are those that are installed. All are timed in turns, in one process; a number is the
median, over the rounds, of the time of PyTorch's float32 over that of the engine. Labels are
compared on held-out frames of the simulated world that int8 was not made with, and on the
photographs of a folder. Of random weights the labels are nearly ties: real ones agree more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from engine.segmenters import random_vocabulary
from PIL import Image

from dinoiser_ros.evaluation.heldout import Score
from dinoiser_ros.pictures.folders import is_picture_file
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.frames import LabelledFrame, read_frames
from dinoiser_ros.utils.markdown import table
from dinoiser_ros.utils.processor import processor_name

from .variants import REFERENCE, make_variants

_FEW = 5  # classes
_LEARNT = 20  # every so manieth frame is for int8


def main() -> int:
    """Measure and print; returns the exit status."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    frames = list(read_frames(options.frames))
    learnt = [frame.rgb for frame in frames[::_LEARNT]]
    photographs = _photographs(options.photographs)
    print(
        f"{processor_name()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, load average {os.getloadavg()[0]:.1f}"
    )
    for name in options.models:
        with tempfile.TemporaryDirectory(prefix="dinoiser_engines_") as folder:
            variants = make_variants(
                name, Path(folder), [*learnt, *photographs[::2]], options.quantise_at
            )
            print(f"\n{name}: {times(variants, options)}", flush=True)
            held_out = [f for i, f in enumerate(frames) if i % _LEARNT][:: options.every]
            print(f"\n{labels(name, variants, held_out, photographs[1::2])}", flush=True)
    return 0


def times(variants: Mapping[str, Segmenter], options: argparse.Namespace) -> str:
    """Milliseconds of PyTorch's float32, and how many times faster the others are."""
    _use_random(variants)
    rows: list[list[str]] = [[name] for name in variants]
    for height, width in options.sizes:
        image = _resized(np.asarray(next(read_frames(options.frames)).rgb), (height, width))
        functions = {name: partial(one.segment, image) for name, one in variants.items()}
        passed, spent = _in_turns(functions, options.rounds)
        print(f"{height}x{width} is measured", file=sys.stderr, flush=True)
        for row, name in zip(rows, variants, strict=True):
            if name == REFERENCE:
                row.append(f"{1e3 * statistics.median(spent[name]):.0f} ms of processor time")
                continue
            if variants[name].engine_problem:  # PyTorch took its place
                row.append("-")
                continue
            by_clock, by_processor = (
                statistics.median(np.divide(measured[REFERENCE], measured[name]))
                for measured in (passed, spent)
            )
            row.append(f"{by_processor:.2f} ({by_clock:.2f})")
    sizes = [f"{height}x{width}" for height, width in options.sizes]
    head = f"times faster than {REFERENCE} by processor time (by the clock)\n\n"
    return head + table(["engine", *sizes], rows)


def _in_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds that pass, and of all processors together, of every function in every round."""
    passed: dict[str, list[float]] = {name: [] for name in functions}
    spent: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(1 + rounds):  # the first warms up
        for name, function in functions.items():
            clock, processor = time.perf_counter(), time.process_time()
            function()
            if number:
                passed[name].append(time.perf_counter() - clock)
                spent[name].append(time.process_time() - processor)
    return passed, spent


def labels(
    name: str,
    variants: Mapping[str, Segmenter],
    frames: list[LabelledFrame],
    photographs: list[np.ndarray],
) -> str:
    """Labels equal to those of PyTorch's float32; of the embedded model mIoU, too."""
    trained = name == "demo"
    if trained:
        for one in variants.values():
            one.set_prompts(list(CLASSES))
    wanted = [variants[REFERENCE].segment(frame.rgb).labels for frame in frames]
    known = [variants[REFERENCE].segment(image).labels for image in photographs]
    rows = []
    for engine, one in variants.items():
        score, shares = Score(), []
        for frame, reference in zip(frames, wanted, strict=True):
            found = one.segment(frame.rgb).labels
            shares.append(float((found == reference).mean()))
            score.add(frame, found)
        on_photographs = [
            float((one.segment(image).labels == reference).mean())
            for image, reference in zip(photographs, known, strict=True)
        ]
        mean = f"{score.row()['mIoU']:.2%}" if trained else "-"
        rows.append([engine, _share(shares), _share(on_photographs), mean])
    title = f"equal labels, {len(frames)} frames"
    return table(["engine", title, f"{len(photographs)} photographs", "mIoU"], rows)


def _share(shares: list[float]) -> str:
    return f"{np.mean(shares):.2%} (least {min(shares):.2%})" if shares else "-"


def _use_random(variants: Mapping[str, Segmenter]) -> None:
    for one in variants.values():
        one.use(random_vocabulary(_FEW, one.parts.main.dim, one.device))


def _photographs(folder: Path | None) -> list[np.ndarray]:
    """Pictures of a folder, 336x448."""
    paths = sorted(filter(is_picture_file, folder.glob("*"))) if folder else []
    return [_resized(np.asarray(Image.open(path).convert("RGB")), (336, 448)) for path in paths]


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-engines", description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["vit-b-16", "demo"])
    parser.add_argument(
        "--sizes", type=_size, nargs="+", default=[(448, 448), (480, 640), (720, 1280)]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--frames", type=Path, default=Path("data/heldout"))
    parser.add_argument("--every", type=int, default=4, help="of the frames, for labels")
    parser.add_argument("--photographs", type=Path, help="folder; every second one is for int8")
    parser.add_argument("--quantise-at", type=int, default=224, help="pixels (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
