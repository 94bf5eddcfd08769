# SPDX-License-Identifier: Apache-2.0
"""How methods stand bad pictures, `make robustness`: mIoU by corruption and severity."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dinoiser_ros.evaluation.command import spread
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS
from dinoiser_ros.evaluation.datasets.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from dinoiser_ros.evaluation.datasets.samples import Loaded, Sample
from dinoiser_ros.evaluation.datasets.simulated import WORLD
from dinoiser_ros.evaluation.reports.report import percent
from dinoiser_ros.evaluation.runner import evaluate, over_samples
from dinoiser_ros.evaluation.state import State
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write_text
from dinoiser_ros.utils.markdown import table
from dinoiser_ros.utils.number_types import count

from . import measure as sim_command

CLEAN = ("clean", 0)
CONDITIONS = (CLEAN, *((name, severity) for name in CORRUPTIONS for severity in SEVERITIES))

# Method -> (corruption, severity) -> mIoU in [0, 1].
Scores = dict[str, dict[tuple[str, int], float]]


def corrupted(samples: Sequence[Sample], name: str, severity: int, seed: int) -> list[Sample]:
    """The same samples with their pictures corrupted; every frame has a seed of its own."""

    def load(index: int) -> Loaded:
        loaded = samples[index].load()
        picture = corrupt(loaded.rgb, name, severity, seed * 1_000_003 + index)
        return replace(loaded, rgb=picture)

    return [Sample(sample.name, partial(load, index)) for index, sample in enumerate(samples)]


def measure(
    methods: Sequence[str],
    load: Callable[[str], Segmenter],
    samples: Sequence[Sample],
    seed: int = 0,
    state: State | None = None,
) -> tuple[Scores, dict[str, str]]:
    """MIoU of every method under every condition.

    Args:
        state: what an earlier run has counted.

    Returns:
        The scores, and why each method that they lack is left out.
    """
    scores: Scores = {}
    left_out: dict[str, str] = {}
    for segmenter in sim_command.each_method(methods, load, left_out):
        scores[segmenter.method] = dict(_conditions(segmenter, samples, seed, state or State()))
    return scores, left_out


def _conditions(
    segmenter: Segmenter, samples: Sequence[Sample], seed: int, state: State
) -> Iterator[tuple[tuple[str, int], float]]:
    for condition in CONDITIONS:
        name, severity = condition
        frames = samples if condition == CLEAN else corrupted(samples, name, severity, seed)
        bar = over_samples(f"{segmenter.method}, {name} {severity}", len(samples))
        variant = f"{name} {severity}, seed {seed}"
        tally = evaluate(segmenter, BENCHMARKS[WORLD.name], frames, state, bar, variant)
        yield condition, tally.mean_iou()


def markdown(model: str, frames: int, scores: Scores, left_out: Mapping[str, str]) -> str:
    """Two tables: means over the severities, and every severity by itself."""
    header = ["mIoU, %", "clean", *CORRUPTIONS]
    means = [
        [method, percent(values[CLEAN]), *(percent(_mean(values, name)) for name in CORRUPTIONS)]
        for method, values in scores.items()
    ]
    every = [
        [f"{name} {severity}", *(percent(values[name, severity]) for values in scores.values())]
        for name, severity in CONDITIONS[1:]
    ]
    note = sim_command.note_left_out(left_out)
    return (
        "# Robustness\n\n"
        f"Measured with `make robustness`: the model `{model}` on {frames} held-out frames of the "
        f"simulated world with the {len(WORLD.classes)} class names as prompts.\n"
        "Each corruption is the mean over its five severities; the second table has each of them.\n"
        f"\n{table(header, means)}\n{note}{table(['mIoU, %', *scores], every)}"
    )


def _mean(values: Mapping[tuple[str, int], float], name: str) -> float:
    return float(np.mean([values[name, severity] for severity in SEVERITIES]))


def to_json(model: str, frames: int, seed: int, scores: Scores) -> dict[str, object]:
    """The numbers as plain values: clean, and a list over the severities for each corruption."""
    return {
        "model": model,
        "frames": frames,
        "seed": seed,
        "mIoU": {
            method: {
                "clean": values[CLEAN],
                **{name: [values[name, s] for s in SEVERITIES] for name in CORRUPTIONS},
            }
            for method, values in scores.items()
        },
    }


def main() -> None:
    """Command line: print the tables, and with --output write them and a .json beside them."""
    parser = sim_command.parser(__doc__)
    parser.add_argument("--seed", type=count, default=0, help="of noise and directions (0)")
    parser.add_argument("-o", "--output", type=Path, help="file for the tables, .md")
    options = parser.parse_args()
    samples = spread(BENCHMARKS[WORLD.name].samples(options.frames), options.limit)
    load = sim_command.loader(options.model)
    state = State(options.state, strict=False)
    scores, left_out = measure(options.methods, load, samples, options.seed, state)
    text = markdown(options.model, len(samples), scores, left_out)
    print(text)
    sim_command.report_left_out(left_out)
    if options.output:
        values = json.dumps(to_json(options.model, len(samples), options.seed, scores), indent=1)
        atomic_write_text(options.output.with_suffix(".md"), text)
        atomic_write_text(options.output.with_suffix(".json"), f"{values}\n")
    state.remove()


if __name__ == "__main__":
    sys.exit(sim_command.run(main))
