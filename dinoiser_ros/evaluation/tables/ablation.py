# SPDX-License-Identifier: Apache-2.0
"""The project's own table of methods, `make table`: the simulated world beside the papers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dinoiser_ros.evaluation.command import spread
from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS
from dinoiser_ros.evaluation.datasets.simulated import FOREGROUND, HELD_OUT_PART, SEEN_PART, WORLD
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.evaluation.reports.published import published_table
from dinoiser_ros.evaluation.reports.report import percent
from dinoiser_ros.evaluation.runner import evaluate, over_samples
from dinoiser_ros.evaluation.state import State
from dinoiser_ros.option_schema import OptionChanges
from dinoiser_ros.segmentation import OptionError, Segmenter
from dinoiser_ros.utils.atomic_files import atomic_write_text
from dinoiser_ros.utils.markdown import replace_part, table

from . import measure as sim_command

MARKERS = "table"
_NAMES, _BACKGROUND = BENCHMARKS[WORLD.name], BENCHMARKS[FOREGROUND.name]

# The background filter's ablation (arXiv 2312.12359): what it goes by, and whether it leaves alone
# the patches whose class is certain.
BACKGROUNDS: dict[str, OptionChanges] = {
    "FOUND": {"background_source": "found", "background_uncertainty": False},
    "FOUND, uncertain": {"background_source": "found", "background_uncertainty": True},
    "objectness, uncertain": {"background_source": "objectness", "background_uncertainty": True},
}

_CLOSED_SET = (
    "maskclip+: a network of its own, trained for these class names; its background is what it "
    "knows besides the objects.\n"
)

# Method -> benchmark's name -> counts.
Counts = dict[str, dict[str, Tally]]


def measure(
    methods: Sequence[str],
    load: Callable[[str], Segmenter],
    folder: Path,
    limit: int | None = None,
    state: State | None = None,
) -> tuple[Counts, dict[str, str]]:
    """Count every method with and without background.

    Args:
        state: what an earlier run has counted.

    Returns:
        The counts, and why each method that they lack is left out.

    Raises:
        EvaluationError: the frames cannot be read.
    """
    samples = {
        benchmark.name: spread(benchmark.samples(folder), limit)
        for benchmark in (_NAMES, _BACKGROUND)
    }
    counts: Counts = {}
    left_out: dict[str, str] = {}
    for segmenter in sim_command.each_method(methods, load, left_out):
        for name, frames in samples.items():
            bar = over_samples(f"{segmenter.method}, {BENCHMARKS[name].title}", len(frames))
            tally = evaluate(segmenter, BENCHMARKS[name], frames, state or State(), bar)
            counts.setdefault(segmenter.method, {})[name] = tally
    return counts, left_out


def measure_backgrounds(
    load: Callable[[str], Segmenter],
    folder: Path,
    limit: int | None = None,
    state: State | None = None,
) -> dict[str, Tally]:
    """Count CLIP-DINOiser with each of `BACKGROUNDS`; those whose weights are missing are left out.

    Raises:
        EvaluationError: the frames cannot be read.
    """
    frames = spread(_BACKGROUND.samples(folder), limit)
    tallies = {}
    for title, options in BACKGROUNDS.items():
        segmenter = load("dinoiser")
        try:
            segmenter.set_options(**options)
        except OptionError:
            continue
        bar = over_samples(f"dinoiser, {title}", len(frames))
        tallies[title] = evaluate(segmenter, _BACKGROUND, frames, state or State(), bar, title)
    return tallies


def backgrounds_table(tallies: Mapping[str, Tally]) -> str:
    """Rows of the background filter's ablation; "" without any."""
    if not tallies:
        return ""
    rows = [[title, percent(tally.mean_iou())] for title, tally in tallies.items()]
    return (
        f"{table(['background of dinoiser', 'with background'], rows)}\n"
        "Uncertain: only patches whose class is not certain can become background.\n\n"
    )


def markdown(
    model: str, counts: Counts, left_out: Mapping[str, str], backgrounds: Mapping[str, Tally]
) -> str:
    """The tables with what has to be known to read them, and the papers' numbers."""
    header = ["method", "mIoU", "with background", "held-out pairs", "seen pairs"]
    rows = []
    for method, tallies in counts.items():
        plain = tallies[_NAMES.name]
        shares = (
            plain.mean_iou(),
            tallies[_BACKGROUND.name].mean_iou(),
            plain.part_recall(HELD_OUT_PART),
            plain.part_recall(SEEN_PART),
        )
        rows.append([method, *(percent(share) for share in shares)])
    frames = max((t.samples for tallies in counts.values() for t in tallies.values()), default=0)
    note = sim_command.note_left_out(left_out)
    return (
        f"Measured with `make table`: the model `{model}` on {frames} held-out frames of the "
        f"simulated world, in percent.\n\n{table(header, rows)}\n{note}"
        f"{backgrounds_table(backgrounds)}"
        f"mIoU: the {len(_NAMES.classes)} class names are the prompts. With background: "
        f"`background` and the {len(_BACKGROUND.classes) - 1} objects' names.\n"
        "Pairs: recall of objects in a colour that training never showed them in, and in the other "
        "colours; mean over classes.\n"
        f"{_CLOSED_SET if 'maskclip+' in counts else ''}\n"
        "Quoted from the papers, mIoU in percent with ViT-B/16; not measured here:\n\n"
        f"{published_table()}"
    )


def main() -> None:
    """Command line: print the table, and with --page put it between that file's markers."""
    parser = sim_command.parser(__doc__)
    parser.add_argument("--page", type=Path, help=f"file with the markers <!-- {MARKERS} -->")
    options = parser.parse_args()
    load = sim_command.loader(options.model)
    state = State(options.state, strict=False)
    counts, left_out = measure(options.methods, load, options.frames, options.limit, state)
    backgrounds = measure_backgrounds(load, options.frames, options.limit, state)
    text = markdown(options.model, counts, left_out, backgrounds)
    print(text)
    sim_command.report_left_out(left_out)
    if options.page:
        before = options.page.read_text(encoding="utf-8")
        atomic_write_text(options.page, replace_part(before, MARKERS, text))
    state.remove()


if __name__ == "__main__":
    sys.exit(sim_command.run(main))
