# SPDX-License-Identifier: Apache-2.0
"""What carried and smoothed masks are worth on simulated drives: `make motion`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.evaluation.tables.measure import run
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.gl import RendererUnavailable
from dinoiser_ros.temporal.stream import Mask
from dinoiser_ros.temporal.window_shares import window_shares
from dinoiser_ros.utils.atomic_files import atomic_write_text

from .answers import Answers, masks_of, model_answers, true_answers, true_masks
from .correspondence import Correspondences
from .drives import Drive, render_drive, segment_views
from .flicker import Flicker, smoothed
from .replay import CarriedReplay, Counts, Schedule
from .report import Findings, markdown

HELD_OUT = tuple(range(201, 213))  # seeds; the constants were chosen on 101 to 114
SCHEDULES = tuple(
    Schedule(latency, share=share, smooth=smooth)
    for latency in (1.0, 0.3)
    for share, smooth in ((1.0, False), (0.25, False), (0.25, True))
)
_INTRODUCTION = (
    "# Masks over time\n\n"
    "What `rate_mode: propagate` and `temporal: smooth` are worth. How to use them: [Masks between "
    "inferences](../how-to/between-inferences.md).\n\n"
)


def measure(seeds: Sequence[int], seconds: float, model: str) -> Findings:
    """Drive, infer, carry and fuse.

    Raises:
        EvaluationError: nothing can be rendered on this machine.
    """
    segmenter = Segmenter(model, device="cpu", precision="float32", offline=True)
    segmenter.set_prompts(list(CLASSES))
    carried: dict[tuple[str, Schedule], Counts] = {}
    smoothing: dict[tuple[str, bool], Flicker] = {}
    for seed in seeds:
        print(f"drive {seed}", file=sys.stderr, flush=True)
        try:
            drive = render_drive(seed, seconds)
        except RendererUnavailable as error:
            raise EvaluationError(str(error)) from error
        motion = Correspondences(drive)
        for name, images in (("clean", drive), ("noise", drive.noisy())):
            masks = masks_of(segment_views(images, segmenter))
            if name == "clean":
                networks = {
                    "truth": (true_masks(drive.views), true_answers(drive)),
                    "demo": (masks, model_answers(drive, masks, segmenter)),
                }
                for source, network in networks.items():
                    for schedule in SCHEDULES:
                        counts = carried.setdefault((source, schedule), Counts())
                        _carry(drive, motion, *network, schedule, segmenter, counts)
            smoothing.setdefault((name, False), Flicker()).add(drive, motion, masks)
            fused = smoothing.setdefault((name, True), Flicker())
            fused.add(drive, motion, smoothed(images, masks, fused))
    return Findings(seeds, seconds, carried, smoothing)


def _carry(
    drive: Drive,
    motion: Correspondences,
    every: Sequence[Mask],
    answers: Answers,
    schedule: Schedule,
    segmenter: Segmenter,
    counts: Counts,
) -> None:
    size = drive.pictures[0].shape[:2]
    shares = window_shares(schedule.share) if schedule.share < 1 else []
    lengths = [segmenter.window_length(size, share) for share in shares]
    CarriedReplay(drive, motion, every, answers, schedule, lengths).run(counts)


def main() -> None:
    """Command line: print the tables, and with --output write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="%(default)s")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a drive (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=HELD_OUT, help="%(default)s")
    parser.add_argument("-o", "--output", type=Path, help="file for the page, .md")
    options = parser.parse_args()
    text = markdown(measure(options.seeds, options.seconds, options.model))
    print(text)
    if options.output:
        atomic_write_text(options.output, _INTRODUCTION + text)


if __name__ == "__main__":
    sys.exit(run(main))
