# SPDX-License-Identifier: Apache-2.0
"""How long the engine takes: `make bench`.

ViT-B/16, or another `--model`, with seeded random weights, so that nothing is downloaded;
CLIP-DINOiser with a background class; images at their own size. `fp32` is the float32 reference
path; `float32` what that precision runs; `best` what precision "auto" chooses on this machine;
`blocks` are the bare blocks of open_clip's own module but the last, which no implementation can do
without. All are timed in turns, on the same inputs, and each section for so long that all of it
takes less than 8 minutes on two cores. `authors` relates these numbers to the authors' code.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import open_clip
import torch

from dinoiser_ros.segmentation.networks.embedding_network import HEADS
from dinoiser_ros.utils.processor import processor_name

from . import authors, growth
from .arguments import FEW, detailed_size, parser
from .between import time_between
from .comparison import UnreadableResultError, compare, read_result
from .kernels import time_kernels
from .report import Section, as_json, plot, table, write_json
from .segmenters import (
    TimedSegmenters,
    bare_blocks,
    closed_segmenter,
    make_segmenters,
    random_image,
    random_vocabulary,
    tokens_of,
)
from .stages import time_stages
from .startup import measure_startup
from .texts import time_new_prompts
from .timing import Times, in_turns

ROUNDS = {"cpu": 9, "cuda": 300}
_LONG, _SHORT, _MOMENT = 30.0, 15.0, 3.0  # seconds of a section, or of a size of whole frames
_WINDOWS = (0.5, 0.25, 0.125)  # shares of an image


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = parser(__doc__.splitlines()[0]).parse_args()
    kept, former = Path(options.json), options.compare
    if options.json and kept.exists() and not former:
        kept, former = Path(), options.json
    try:
        old = read_result(Path(former)) if former else None
    except UnreadableResultError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    content, sections = measure(options)
    output = Path(options.output)
    for path in [output / "bench.json", *([kept] if kept.name else [])]:
        write_json(path, content)
        print(f"written: {path}")
    plot(output / "bench.png", sections)
    print(f"written: {output / 'bench.png'}")
    if old is not None:
        print(f"\ncompared with {former}, milliseconds\n{compare(old, content)}\n")
    print(last_line(sections["whole frame"]))
    return 0


def measure(options: argparse.Namespace) -> tuple[dict[str, object], dict[str, Section]]:
    """Measure and print section by section; returns what is written and what is plotted."""
    if options.threads:
        torch.set_num_threads(options.threads)
    segmenters = make_segmenters(options.model, options.device, options.precision)
    options.rounds = options.rounds or ROUNDS.get(segmenters.best.device.type, ROUNDS["cpu"])
    machine = {**describe(segmenters), "model": options.model}
    print("\n".join(f"{key}: {value}" for key, value in machine.items()))
    segmenters.use(_vocabulary(segmenters, FEW))
    sections: dict[str, Section] = {}
    for title, measured in _measurements(segmenters, options).items():
        sections[title] = measured()
        print(f"\n{table(title, sections[title])}", flush=True)
    whole = sections["whole frame"]
    derived: dict[str, object] = {
        "authors' code = 1": authors.authors_ratios(whole),
        "best over its bare blocks": authors.floor_ratios(whole),
        "growth": {},
    }
    print("\nmilliseconds: median (95th percentile)")
    print(f"{authors.described(whole)}\n{_steadiness(whole)}")
    for name, found in grown(segmenters, options, whole).items():
        derived["growth"][name] = asdict(found)
        print(growth.described(name, found, _tokens(segmenters, options)))
    if segmenters.best.device.type == "cpu":
        kernels, derived["attention"] = time_kernels(
            segmenters.best, options.sizes, options.rounds, _MOMENT
        )
        sections["attention"] = kernels
        print(f"\n{table('attention', kernels)}\nchosen: {'; '.join(derived['attention'])}")
    if options.start_rounds:
        startup = measure_startup(options.model, options.precision, options.start_rounds)
        sections["start of a process"] = {"480x640": startup.times}
        machine["peak_mb"], machine["weights_mb"] = startup.peak_mb, startup.weights_mb
        print(f"\n{table('start of a process', sections['start of a process'])}")
        print(f"peak of memory: {startup.peak_mb:.0f} MB; weights: {startup.weights_mb:.0f} MB")
    if segmenters.best.cuda_graphs_problem:
        print(segmenters.best.cuda_graphs_problem)
    return as_json(machine, sections, derived), sections


def _measurements(
    segmenters: TimedSegmenters, options: argparse.Namespace
) -> dict[str, Callable[[], Section]]:
    """What is measured one after the other, by title."""
    first, detailed = options.sizes[0], detailed_size(options.sizes)
    shown = f"{detailed[0]}x{detailed[1]}"
    return {
        title: partial(measured, segmenters, options)
        for title, measured in {
            "whole frame": whole_frames,
            f"stages, {shown}": stages,
            f"prompts, {shown}": prompts,
            f"batch, {first[0]}x{first[1]}": batches,
            f"fixed classes, {shown}": fixed_classes,
            f"a new prompt, {shown}": new_prompts,
            f"between inferences, {shown}": between,
            f"windows, {shown}": windows,
        }.items()
    }


def describe(segmenters: TimedSegmenters) -> dict[str, object]:
    """What the numbers were measured on."""
    return {
        "device": str(segmenters.best.device),
        "best precision": segmenters.best.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "python": platform.python_version(),
        "processor": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else processor_name(),
        "load before": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def whole_frames(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """Whole frames and bare blocks of both precisions, at each size."""
    section = {}
    for height, width in options.sizes:
        image = random_image(height, width)
        runs = {
            "fp32": partial(segmenters.fp32.segment, image),
            "float32": partial(segmenters.fast_fp32.segment, image),
            "best": partial(segmenters.best.segment, image),
            "blocks fp32": bare_blocks(segmenters.fp32, height, width),
            "blocks best": bare_blocks(segmenters.best, height, width),
        }
        if segmenters.launched is not None:
            runs["no CUDA graphs"] = partial(segmenters.launched.segment, image)
        section[f"{height}x{width}"] = in_turns(runs, options.rounds, _LONG)
    return section


def stages(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """Where the time of a frame goes."""
    image = random_image(*detailed_size(options.sizes))
    return {
        "fp32": time_stages(segmenters.fp32, image, options.rounds, _SHORT),
        "best": time_stages(segmenters.best, image, options.rounds, _SHORT),
    }


def prompts(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """How the number of classes tells."""
    image, vocabularies = random_image(*detailed_size(options.sizes)), {}
    for number in options.prompts:
        vocabularies[f"{number} prompts"] = _vocabulary(segmenters, number)

    def segment(name: str) -> None:
        segmenters.best.use(vocabularies[name])
        segmenters.best.segment(image)

    times = in_turns(
        {name: partial(segment, name) for name in vocabularies}, options.rounds, _SHORT
    )
    segmenters.use(_vocabulary(segmenters, FEW))
    return {"best": times}


def batches(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """What two cameras cost in one batch."""
    images = [random_image(*options.sizes[0], seed) for seed in range(2)]
    return {
        "best": in_turns(
            {
                "1 image": partial(segmenters.best.segment_batch, images[:1]),
                "2 images": partial(segmenters.best.segment_batch, images),
            },
            options.rounds,
            _SHORT,
        )
    }


def fixed_classes(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """The networks of maskclip+ beside the method that would train them."""
    image = random_image(*detailed_size(options.sizes))
    runs = {"dinoiser": partial(segmenters.best.segment, image)}
    for head in HEADS:
        network = closed_segmenter(head, segmenters.best.vocabulary, options.device)
        runs[head] = partial(network.segment, image)
    return {"best": in_turns(runs, options.rounds, _SHORT)}


def new_prompts(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """What a prompt costs that no cache knows, and what it costs the stream."""
    image = random_image(*detailed_size(options.sizes))
    return time_new_prompts(segmenters.best, image, options.rounds)


def between(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """What pictures cost that are not segmented, and masks that are smoothed."""
    classes = len(segmenters.best.classes)
    return time_between(detailed_size(options.sizes), classes, options.rounds, _MOMENT)


def windows(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """What parts of an image cost, see the parameter `inference_window`."""
    segmenter, size = segmenters.best, detailed_size(options.sizes)
    image, axis = random_image(*size), int(size[1] >= size[0])
    runs: dict[str, Callable[[], object]] = {"all": partial(segmenter.segment, image)}
    for share in _WINDOWS:
        part = image.take(range(segmenter.window_length(size, share)), axis=axis)
        runs[f"{share:g}"] = partial(segmenter.segment_batch, [part], size)
    return {"best": in_turns(runs, options.rounds, _SHORT)}


def grown(
    segmenters: TimedSegmenters, options: argparse.Namespace, whole: Section
) -> dict[str, growth.Growth]:
    """How frames and bare blocks grow with their tokens, as far as the sizes tell."""
    fits = {}
    for name in ("float32", "best", "blocks fp32", "blocks best"):
        medians = [times[name].median for times in whole.values()]
        counts = _tokens(segmenters, options)
        fits[name] = growth.fit_growth(dict(zip(counts, medians, strict=True)))
    return {name: fit for name, fit in fits.items() if fit is not None}


def _tokens(segmenters: TimedSegmenters, options: argparse.Namespace) -> list[int]:
    """Of each size."""
    return [tokens_of(segmenters.best.backbone, *size) for size in options.sizes]


def last_line(whole: Section) -> str:
    """The summary that scripts read: the first size's medians."""
    size, times = next(iter(whole.items()))
    return (
        f"bench: size={size} fp32_ms={_ms(times['fp32'])} best_ms={_ms(times['best'])} "
        f"blocks_fp32_ms={_ms(times['blocks fp32'])} blocks_best_ms={_ms(times['blocks best'])}"
    )


def _steadiness(whole: Section) -> str:
    ratios = ", ".join(
        f"{times['best'].p99 / times['best'].median:.2f} ({size})" for size, times in whole.items()
    )
    return f"99th percentile of best over its median: {ratios}"


def _ms(times: Times) -> str:
    return f"{times.median:.1f}"


def _vocabulary(segmenters: TimedSegmenters, classes: int) -> object:
    return random_vocabulary(classes, segmenters.best.backbone.dim, segmenters.best.device)


if __name__ == "__main__":
    sys.exit(main())
