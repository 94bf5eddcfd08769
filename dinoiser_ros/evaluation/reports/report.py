# SPDX-License-Identifier: Apache-2.0
"""Results as tables for people and as JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS, Benchmark
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.utils.markdown import table

from .published import DINOISER

# What was counted: by benchmark's name, then by method, both in the order they were asked for.
Results = Mapping[str, Mapping[str, Tally]]


@dataclass(frozen=True)
class Heading:
    """What the numbers belong to: model, its backbone's digest, device and precision, as texts.

    Attributes:
        refinements: iterations of PAMR.
    """

    model: str
    backbone: str
    device: str
    precision: str
    refinements: int = 0


def percent(share: float) -> str:
    """A share in [0, 1] as percent with one decimal; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def summary(results: Results, heading: Heading) -> str:
    """MIoU in percent: a row for each method, a column for each benchmark, and the paper's row."""
    methods = list(dict.fromkeys(method for tallies in results.values() for method in tallies))
    header = ["mIoU, %", *(BENCHMARKS[name].title for name in results)]
    rows = [
        [method, *(percent(tallies[method].mean_iou()) for tallies in results.values())]
        for method in methods
    ]
    quoted = [DINOISER.scores.get(name) for name in results]
    if any(score is not None for score in quoted):
        texts = ("" if score is None else f"{score:.1f}" for score in quoted)
        rows.append(["CLIP-DINOiser with vit-b-16, quoted from its paper", *texts])
    refined = f", pamr {heading.refinements}" if heading.refinements else ""
    where = f"{heading.model}, {heading.precision} on {heading.device}{refined}"
    return f"{where}\n\n{table(header, rows)}"


def overview(results: Results, heading: Heading) -> str:
    """The summary, and the parts of those benchmarks that have any."""
    parts = {name: parts_table(tallies) for name, tallies in results.items()}
    more = (f"{BENCHMARKS[name].title}\n\n{text}" for name, text in parts.items() if text)
    return "\n".join([summary(results, heading), *more])


def parts_table(tallies: Mapping[str, Tally]) -> str:
    """Recall in percent in the parts that a benchmark counts by themselves; "" without any."""
    names = list(dict.fromkeys(name for tally in tallies.values() for name in tally.parts))
    if not names:
        return ""
    rows = [
        [method, *(percent(tally.part_recall(name)) for name in names)]
        for method, tally in tallies.items()
    ]
    return table(["recall, %", *names], rows)


def class_table(benchmark: Benchmark, tallies: Mapping[str, Tally]) -> str:
    """IoU in percent: a row for each class, a column for each method, means in the last row."""
    each = [tally.iou() for tally in tallies.values()]
    rows = [
        [name, *(percent(values[index]) for values in each)]
        for index, name in enumerate(benchmark.classes)
    ]
    means = ["**mean**", *(percent(tally.mean_iou()) for tally in tallies.values())]
    return table(["class", *tallies], [*rows, means])


def markdown(results: Results, heading: Heading) -> str:
    """Everything: the summary, then what each benchmark has of classes and parts."""
    sections = [f"# Evaluation\n\n{summary(results, heading)}"]
    for name, tallies in results.items():
        benchmark = BENCHMARKS[name]
        pictures = max(tally.samples for tally in tallies.values())
        parts = parts_table(tallies)
        tables = [part for part in (parts, class_table(benchmark, tallies)) if part]
        sections.append(
            f"## {benchmark.title} ({pictures} pictures)\n\nIoU in percent.\n\n" + "\n".join(tables)
        )
    return "\n".join(sections)


def to_json(results: Results, heading: Heading) -> dict[str, object]:
    """The numbers as plain values; shares in [0, 1], null where there is none."""
    return {
        "model": heading.model,
        "backbone": heading.backbone,
        "device": heading.device,
        "precision": heading.precision,
        "pamr": heading.refinements,
        "benchmarks": {
            name: {method: _numbers(BENCHMARKS[name].classes, t) for method, t in tallies.items()}
            for name, tallies in results.items()
        },
    }


def _numbers(classes: Sequence[str], tally: Tally) -> dict[str, object]:
    values = (_or_none(value) for value in tally.iou().tolist())
    return {
        "mIoU": _or_none(tally.mean_iou()),
        "pixel accuracy": _or_none(tally.pixel_accuracy()),
        "recall": {name: _or_none(tally.part_recall(name)) for name in tally.parts},
        "IoU": dict(zip(classes, values, strict=True)),
        "pictures": tally.samples,
        "seconds a picture": tally.seconds / tally.samples if tally.samples else None,
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
