# SPDX-License-Identifier: Apache-2.0
"""`dinoiser evaluate`: methods side by side on benchmarks whose files are on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS, PUBLIC
from dinoiser_ros.evaluation.datasets.samples import Sample
from dinoiser_ros.evaluation.datasets.simulated import FOLDER
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.evaluation.reports.report import Heading, markdown, overview, percent, to_json
from dinoiser_ros.option_schema import FrameOptions
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.utils.atomic_files import atomic_write_text
from dinoiser_ros.utils.number_types import positive

from .runner import Load, backbone_digest, evaluate, over_samples, with_method
from .state import State

INTERRUPTED = 130  # the shell's status of a program ended by Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads, except the arguments of the model."""
    parser.add_argument(
        "benchmarks",
        nargs="+",
        metavar="BENCHMARK",
        help=f"{', '.join(BENCHMARKS)}; NAME=FOLDER where one lies elsewhere than --data; "
        f"'all' for the {len(PUBLIC)} public ones",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="the folder that the data sets are in, in MMSegmentation's layout (VOCdevkit, "
        "coco_stuff164k, cityscapes, ade), or that of the only one asked for",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=[FrameOptions.method], metavar="METHOD",
        help=f"any of {', '.join(METHODS)} ({FrameOptions.method})",
    )  # fmt: skip
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("evaluation.json"),
        help="results as .json (%(default)s) and, as tables, .md; the counts of an "
        "unfinished run are kept as .state beside them",
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only N pictures of each, evenly spread"
    )
    parser.add_argument(
        "--pamr", type=int, default=FrameOptions.pamr, metavar="N",
        help="iterations of pixel-adaptive refinement (%(default)s: none)",
    )  # fmt: skip
    parser.add_argument("--classes", action="store_true", help="print the IoU of every class, too")
    parser.add_argument("--fresh", action="store_true", help="discard the counts of a stopped run")


def run(options: argparse.Namespace, load: Load) -> int:
    """Evaluate, and write and print the results.

    Args:
        options: from a parser with `add_arguments` and the model's arguments.
        load: a method's name -> a segmenter of the model asked for.

    Returns:
        The exit status: 0, or 130 when stopped by Ctrl-C; the same command then goes on.

    Raises:
        DinoiserError, OSError: see `evaluate`, `Segmenter` and `atomic_write_text`.
    """
    samples = find_samples(options.benchmarks, options.data, options.limit)
    place = options.output
    if options.fresh:
        place.with_suffix(".state").unlink(missing_ok=True)
    state = State(place.with_suffix(".state"))
    try:
        results, heading = _measure(
            samples, options.methods, state, lambda method: _refining(load(method), options.pamr)
        )
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {state.path}", file=sys.stderr)
        return INTERRUPTED
    values = json.dumps(to_json(results, heading), indent=1)
    atomic_write_text(place.with_suffix(".json"), f"{values}\n")
    atomic_write_text(place.with_suffix(".md"), markdown(results, heading))
    state.remove()
    print(markdown(results, heading) if options.classes else overview(results, heading))
    print(f"written: {place.with_suffix('.json')} and {place.with_suffix('.md')}")
    return 0


def find_samples(
    wanted: Sequence[str], data: Path | None, limit: int | None = None
) -> dict[str, list[Sample]]:
    """The samples of all benchmarks asked for, so that what is missing is said before hours pass.

    Args:
        wanted: NAME, NAME=FOLDER or "all".
        data: the folder of the public ones that are named without a folder.
        limit: at most so many of each, evenly spread; 1 at least.

    Raises:
        EvaluationError: an unknown name, no folder, or files are missing.
    """
    samples = {}
    for entry in [name for text in wanted for name in (PUBLIC if text == "all" else (text,))]:
        name, _, own = entry.partition("=")
        if name not in BENCHMARKS:
            raise EvaluationError(
                f"There is no benchmark {name!r}: use {', '.join(BENCHMARKS)} or all."
            )
        folder = Path(own).expanduser() if own else _folder(name, data)
        samples[name] = spread(BENCHMARKS[name].samples(folder), limit)
    return samples


def _folder(name: str, data: Path | None) -> Path:
    """Where a benchmark is that was named without a folder."""
    if name not in PUBLIC:
        return FOLDER
    if data is None:
        raise EvaluationError(
            f"Where is {BENCHMARKS[name].title}? Give --data FOLDER or {name}=FOLDER."
        )
    return data.expanduser()


def spread(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` of the samples, evenly spread, in their order."""
    if limit is None or limit >= len(samples):
        return list(samples)
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _refining(segmenter: Segmenter, iterations: int) -> Segmenter:
    segmenter.set_options(pamr=iterations)
    return segmenter


def _measure(
    samples: dict[str, list[Sample]], methods: Sequence[str], state: State, load: Load
) -> tuple[dict[str, dict[str, Tally]], Heading]:
    segmenter = load(methods[0])
    for method in methods:  # what a method lacks is said now, not after hours
        segmenter = with_method(segmenter, method, load)
    results: dict[str, dict[str, Tally]] = {}
    for name, pictures in samples.items():
        for method in dict.fromkeys(methods):
            segmenter = with_method(segmenter, method, load)
            bar = over_samples(f"{BENCHMARKS[name].title}, {method}", len(pictures))
            tally = evaluate(segmenter, BENCHMARKS[name], pictures, state, bar)
            results.setdefault(name, {})[method] = tally
            score = percent(tally.mean_iou())
            print(f"{BENCHMARKS[name].title}, {method}: mIoU {score} %", file=sys.stderr)
    heading = Heading(
        segmenter.model_name,
        backbone_digest(segmenter),
        str(segmenter.device),
        segmenter.precision,
        segmenter.options.pamr,
    )
    return results, heading
