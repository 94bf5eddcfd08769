# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment`: pictures, videos and bags, each with its results beside the others'."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.bags.segment import segment_bag
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.progress import progress_bar, say
from dinoiser_ros.utils.sentences import printable, sentence_of

from .inputs import BAG, PICTURE, SUPPORTED, VIDEO, Input, find_inputs
from .pictures import segment_picture
from .settings import RESULTS, Outcome, Settings
from .videos import segment_video

INTERRUPTED = 130  # the shell's status of a program ended by Ctrl-C
_SURE = 5  # inputs that do not show a model's world, of which some certainly do not
DESCRIPTION = """Segment pictures, videos, bags (rosbag2 folders, .mcap, .db3; ROS 1's .bag), and
folders of all of these.

A picture gives <name>_overlay.png, _labels.png (class ids: positions in the list
of prompts, 255 for none) and _confidence.png (0 to 255). An animation, or a TIFF
with pages, is treated as a video.
A video gives <name>_overlay.mp4. With --save labels confidence it gives folders
of numbered PNGs, since no codec keeps label maps unchanged.
A bag gives <name>_segmented, a copy of everything that was recorded and, for
each camera, what the node would have published: mask, confidence and label_info;
with --save overlay also the overlay. Storage and compression stay the same, except
for ROS 1's compression; the parts of a split bag become one file.
Results keep the folders of their inputs, and the suffix where two names would be
the same. Unfinished results are in folders called .part.
"""
_SEGMENT: dict[str, Callable[[Segmenter, Input, Settings], Outcome]] = {
    PICTURE: segment_picture,
    VIDEO: segment_video,
    BAG: segment_bag,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` reads, except the arguments of the model and the method."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="a picture, a video, a bag, or a folder of them",
    )
    parser.add_argument(
        "-p",
        "--prompts",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="what to look for; 'floor: wooden floor, carpet' is one class of two phrases; a "
        "checkpoint of maskclip+ uses its own classes if none are given",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("segmented"),
        metavar="FOLDER",
        help="where results are written (%(default)s)",
    )
    parser.add_argument(
        "--save",
        nargs="+",
        choices=RESULTS,
        metavar="RESULT",
        help="any of overlay, labels, confidence; by default all of them for pictures, the overlay "
        "for videos, labels and confidence for bags",
    )
    parser.add_argument(
        "--alpha", type=_fraction, default=0.5, help="strength of the overlay (0 to 1)"
    )
    parser.add_argument(
        "--topics",
        nargs="+",
        metavar="TOPIC",
        help="image topics of bags to segment; by default all except those that look like depth",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace videos and bags of an earlier run; pictures always are",
    )


def _fraction(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def run(options: argparse.Namespace, load: Callable[[], Segmenter]) -> int:
    """Segment all inputs; one that fails does not stop the others.

    Args:
        options: from a parser with `add_arguments`.
        load: gives the segmenter, called once if there is any input.

    Returns:
        The exit status: 0; 1 if something could not be segmented as it should; 130 when stopped by
        Ctrl-C.

    Raises:
        DinoiserError: the model or the prompts cannot be used.
    """
    try:
        return _run(options, load)
    except KeyboardInterrupt:
        say("\ndinoiser: stopped; what is in the output folder is complete.", error=True)
        return INTERRUPTED


def _run(options: argparse.Namespace, load: Callable[[], Segmenter]) -> int:
    inputs = find_inputs(options.inputs, options.output)
    if not inputs:
        say(f"dinoiser: no picture found, no video and no bag: give {SUPPORTED}.", error=True)
        return 1
    segmenter = load()
    segmenter.set_prompts(options.prompts)
    if segmenter.text_cache_problem:
        say(f"dinoiser: {segmenter.text_cache_problem}", error=True)
    settings = Settings(
        options.output,
        options.alpha,
        frozenset(options.save) if options.save else None,
        tuple(options.topics) if options.topics else None,
        options.overwrite,
    )
    done: Counter[str | None] = Counter()
    complete, unfamiliar = True, 0
    several = len(inputs) > 1
    with progress_bar("inputs", len(inputs), "input", keep=False, show=several) as progress:
        for entry in inputs:
            outcome = _segment(segmenter, entry, settings)
            done[entry.kind] += outcome is not None
            complete &= outcome is not None and not outcome.problems
            unfamiliar += outcome is not None and outcome.unfamiliar
            progress.update()
    if unfamiliar:
        notice = _notice(unfamiliar, sum(done.values()))
        say(f"dinoiser: warning: {notice} {segmenter.world}.", error=True)
    say(f"{_count(inputs, done)} segmented into {printable(options.output)}")
    return 0 if complete else 1


def _segment(segmenter: Segmenter, entry: Input, settings: Settings) -> Outcome | None:
    """Segment one input and say how it went; None if it could not be done."""
    try:
        if entry.problem:
            raise MediaError(entry.problem)
        if not entry.path.exists():
            raise MediaError("there is no such file or folder.")
        if entry.kind is None:
            raise MediaError(f"this is none of what can be segmented: {SUPPORTED}.")
        outcome = _SEGMENT[entry.kind](segmenter, entry, settings)
    except Exception as error:  # whatever one input does, the others are segmented
        _complain(entry.path, sentence_of(error))
        return None
    say(f"{printable(entry.path)}: {outcome.summary}")
    for sentence in (*outcome.notes, *outcome.problems):
        _complain(entry.path, sentence)
    return outcome


def _notice(unfamiliar: int, segmented: int) -> str:
    """What is said of inputs that are not of the model's world; a few may only look so."""
    if segmented == 1:
        return "this input may not show"
    return f"{unfamiliar} of {segmented} inputs {'do' if unfamiliar >= _SURE else 'may'} not show"


def _complain(path: Path, sentence: str) -> None:
    shown = printable(path)
    named = sentence if shown in sentence else f"{shown}: {sentence}"
    say(f"dinoiser: {named}", error=True)


def _count(inputs: Sequence[Input], done: Counter[str | None]) -> str:
    """Such as "2 of 3 pictures, 1 of 1 videos"."""
    counts = Counter(entry.kind for entry in inputs)
    kinds = [kind for kind in (*_SEGMENT, None) if counts[kind]]
    parts = [f"{done[kind]} of {counts[kind]} {kind or 'other file'}s" for kind in kinds]
    return ", ".join(parts)
