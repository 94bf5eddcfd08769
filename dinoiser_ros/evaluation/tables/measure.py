# SPDX-License-Identifier: Apache-2.0
"""What the commands that measure in the simulated world have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from dinoiser_ros.evaluation.datasets.simulated import FOLDER
from dinoiser_ros.evaluation.runner import with_method
from dinoiser_ros.segmentation import DinoiserError, Segmenter
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.registry import MODELS
from dinoiser_ros.utils.number_types import positive


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with model, methods, frames and limit."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--model", default="demo", help="%(default)s")
    arguments.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments.add_argument("--frames", type=Path, default=FOLDER, help="folder (%(default)s)")
    arguments.add_argument("--limit", type=positive, help="only so many frames, evenly spread")
    arguments.add_argument(
        "--state", type=Path, metavar="FILE", help="keeps counts, so that a stopped run goes on"
    )
    return arguments


def loader(model: str) -> Callable[[str], Segmenter]:
    """Loads a segmenter for a method, such that the numbers are the same on every machine.

    Nothing is fetched: a method whose weights are not there is left out, with that reason. For
    maskclip+, a model may have a companion that was trained from it: "demo" has "demo-maskclip+".
    """

    def load(method: str) -> Segmenter:
        companion = f"{model}-{method}"
        name = companion if companion in MODELS else model
        return Segmenter(name, method=method, device="cpu", precision="float32", offline=True)

    return load


def each_method(
    methods: Sequence[str], load: Callable[[str], Segmenter], left_out: dict[str, str]
) -> Iterable[Segmenter]:
    """A segmenter set to one method after the other.

    Args:
        left_out: gets the reason of each method that this model cannot run.
    """
    segmenter: Segmenter | None = None
    for method in methods:
        try:
            segmenter = with_method(segmenter, method, load) if segmenter else load(method)
        except DinoiserError as error:
            left_out[method] = str(error)
        else:
            yield segmenter


def run(main: Callable[[], None]) -> int:
    """Run a command; an error that has a sentence ends it with that sentence and status 1."""
    try:
        main()
    except (DinoiserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def note_left_out(left_out: Mapping[str, str]) -> str:
    """A paragraph of a page on the methods that its tables lack; "" without any.

    Why is for whoever runs the command, see `report_left_out`: it is about that machine.
    """
    if not left_out:
        return ""
    return f"Not measured, since the machine lacks what they need: {', '.join(left_out)}.\n\n"


def report_left_out(left_out: Mapping[str, str]) -> None:
    """Say why methods were left out, on the error output."""
    for method, why in left_out.items():
        print(f"{method} is left out: {why}", file=sys.stderr)
