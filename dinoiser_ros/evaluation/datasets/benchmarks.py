# SPDX-License-Identifier: Apache-2.0
"""The benchmarks by name: their classes, prompts, files and protocol."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import layouts
from .class_names import class_names
from .label_pictures import as_they_are, things_only, without_first
from .layouts import Layout
from .samples import Sample, read_pair
from .simulated import FOREGROUND, WORLD, SimulatedWorld

BACKGROUND = ("background",)


@dataclass(frozen=True)
class Benchmark:
    """What is measured, and how.

    Attributes:
        name: as written on the command line and in files.
        title: as written in tables.
        classes: K class names, used as prompts as they are; index = class id.
        filter_background: whether methods that have a background filter use it; it needs the
            class "background".
        windows: whether pictures are resized and segmented in sliding windows, as the literature
            does it, or undivided and at their own size.
        samples: folder -> the pictures in it, in a fixed order. Raises EvaluationError.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    filter_background: bool
    windows: bool
    samples: Callable[[Path], list[Sample]]


def _from_files(layout: Layout, table: np.ndarray, folder: Path) -> list[Sample]:
    return [
        Sample(name, functools.partial(read_pair, picture, label, table))
        for name, picture, label in layout.find(folder)
    ]


def _public(
    name: str,
    title: str,
    classes: tuple[str, ...],
    layout: Layout,
    table: np.ndarray,
    filter_background: bool = False,
) -> Benchmark:
    samples = functools.partial(_from_files, layout, table)
    return Benchmark(name, title, classes, filter_background, True, samples)


def _simulated(world: SimulatedWorld) -> Benchmark:
    filtered = "background" in world.classes
    return Benchmark(world.name, world.title, world.classes, filtered, False, world.samples)


def _all() -> list[Benchmark]:
    voc, context = class_names("voc"), class_names("context")
    things, stuff = class_names("coco_object"), class_names("coco_stuff")
    cityscapes, ade = class_names("cityscapes"), class_names("ade20k")
    return [
        _public("voc20", "VOC20", voc, layouts.VOC2012, without_first(len(voc))),
        _public(
            "voc",
            "VOC",
            BACKGROUND + voc,
            layouts.VOC2012,
            as_they_are(1 + len(voc)),
            filter_background=True,
        ),
        _public("context59", "C59", context, layouts.VOC2010_CONTEXT, without_first(len(context))),
        _public(
            "context60",
            "Context",
            BACKGROUND + context,
            layouts.VOC2010_CONTEXT,
            as_they_are(1 + len(context)),
        ),
        _public(
            "coco-object",
            "Object",
            BACKGROUND + things,
            layouts.COCO_STUFF,
            things_only(len(things), len(stuff)),
            filter_background=True,
        ),
        _public("coco-stuff", "Stuff", stuff, layouts.COCO_STUFF, as_they_are(len(stuff))),
        _public("cityscapes", "City", cityscapes, layouts.CITYSCAPES, as_they_are(len(cityscapes))),
        _public("ade20k", "ADE", ade, layouts.ADE20K, without_first(len(ade))),
        _simulated(WORLD),
        _simulated(FOREGROUND),
    ]


BENCHMARKS: dict[str, Benchmark] = {benchmark.name: benchmark for benchmark in _all()}
PUBLIC = tuple(name for name, benchmark in BENCHMARKS.items() if benchmark.windows)
