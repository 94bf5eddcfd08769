# SPDX-License-Identifier: Apache-2.0
"""How long the engine takes: `make bench`.

ViT-B/16, or another `--model`, with seeded random weights, so that nothing is downloaded;
CLIP-DINOiser with a background class; images at their own size. `fp32` is the float32 reference
path; `float32` what that precision runs; `best` what precision "auto" chooses on this machine;
`blocks` are the bare blocks of open_clip's own module but the last, which no implementation can do
without. All are timed in turns, on the same inputs.

The authors' code is not here. Its time over that of the bare float32 blocks on one machine (2 CPU
cores: 1.00 s over 0.96 s at 448x448, 1.75 s over 1.92 s at 480x640) relates it to these numbers.
"""

from __future__ import annotations

import argparse
import platform
import sys
from functools import partial
from pathlib import Path

import open_clip
import torch

from dinoiser_ros.segmentation.networks.embedding_network import HEADS

from .report import Section, plot, table, write_json
from .segmenters import (
    TimedSegmenters,
    bare_blocks,
    closed_segmenter,
    make_segmenters,
    random_image,
    random_vocabulary,
)
from .stages import time_stages
from .startup import measure_startup
from .texts import time_new_prompts
from .timing import Times, in_turns

FEW = 5
ROUNDS = {"cpu": 9, "cuda": 300}


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = _parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    segmenters = make_segmenters(options.model, options.device, options.precision)
    options.rounds = options.rounds or ROUNDS.get(segmenters.best.device.type, ROUNDS["cpu"])
    machine = describe(segmenters)
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    segmenters.use(_vocabulary(segmenters, FEW))
    sections: dict[str, Section] = {}
    first, last = (f"{size[0]}x{size[1]}" for size in (options.sizes[0], options.sizes[-1]))
    for title, measure in (
        ("whole frame", whole_frames),
        (f"stages, {last}", stages),
        (f"prompts, {last}", prompts),
        (f"batch, {first}", batches),
        (f"fixed classes, {last}", fixed_classes),
        (f"a new prompt, {last}", new_prompts),
    ):
        sections[title] = measure(segmenters, options)
        print(f"\n{table(title, sections[title])}", flush=True)
    if options.start_rounds:
        startup = measure_startup(options.model, options.precision, options.start_rounds)
        sections["start of a process"] = {"480x640": startup.times}
        machine["peak_mb"], machine["weights_mb"] = startup.peak_mb, startup.weights_mb
        print(f"\n{table('start of a process', sections['start of a process'])}")
        print(f"peak of memory: {startup.peak_mb:.0f} MB; weights: {startup.weights_mb:.0f} MB")
    print("\nmilliseconds: median (95th percentile)")
    print(_steadiness(sections["whole frame"]))
    if segmenters.best.cuda_graphs_problem:
        print(segmenters.best.cuda_graphs_problem)
    output = Path(options.output)
    write_json(output / "bench.json", machine, sections)
    plot(output / "bench.png", sections)
    print(f"written: {output / 'bench.json'}, {output / 'bench.png'}")
    print(last_line(sections["whole frame"]))
    return 0


def describe(segmenters: TimedSegmenters) -> dict[str, object]:
    """What the numbers were measured on."""
    return {
        "device": str(segmenters.best.device),
        "best precision": segmenters.best.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "python": platform.python_version(),
        "processor": _processor(),
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
        section[f"{height}x{width}"] = in_turns(runs, options.rounds)
    return section


def stages(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """Where the time of a frame of the last size goes."""
    image = random_image(*options.sizes[-1])
    return {
        "fp32": time_stages(segmenters.fp32, image, options.rounds),
        "best": time_stages(segmenters.best, image, options.rounds),
    }


def prompts(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """How the number of classes tells."""
    image, vocabularies = random_image(*options.sizes[-1]), {}
    for number in options.prompts:
        vocabularies[f"{number} prompts"] = _vocabulary(segmenters, number)

    def segment(name: str) -> None:
        segmenters.best.use(vocabularies[name])
        segmenters.best.segment(image)

    times = in_turns({name: partial(segment, name) for name in vocabularies}, options.rounds)
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
        )
    }


def fixed_classes(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """The networks of maskclip+ beside the method that would train them."""
    image = random_image(*options.sizes[-1])
    runs = {"dinoiser": partial(segmenters.best.segment, image)}
    for head in HEADS:
        network = closed_segmenter(head, segmenters.best.vocabulary, options.device)
        runs[head] = partial(network.segment, image)
    return {"best": in_turns(runs, options.rounds)}


def new_prompts(segmenters: TimedSegmenters, options: argparse.Namespace) -> Section:
    """What a prompt costs that no cache knows, and what it costs the stream."""
    return time_new_prompts(segmenters.best, random_image(*options.sizes[-1]), options.rounds)


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


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.machine()


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit-b-16", help="a name or a config (%(default)s)")
    parser.add_argument("--rounds", type=int, default=0, help="0: 9 on a CPU, 300 on a GPU")
    parser.add_argument("--start-rounds", type=int, default=3, help="processes started; 0: none")
    parser.add_argument("--sizes", type=_size, nargs="+", default=[(448, 448), (480, 640)])
    parser.add_argument("--prompts", type=int, nargs="+", default=[FEW, 50, 150])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="of the best path (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--output", default="bench_output", help="folder (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
