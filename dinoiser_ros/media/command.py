# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment`: pictures, videos and bags, each with its results beside the others'."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dinoiser_ros.media.datasets.sample import Provenance
from dinoiser_ros.media.datasets.write import check_formats, write_datasets
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.progress import progress_bar, say
from dinoiser_ros.utils.sentences import printable, sentence_of

from .inputs import SUPPORTED, Input, find_inputs
from .provenance import described
from .reporting import Strange, complain, counted, say_outcome
from .segment_input import segment_input
from .settings import DATASETS, RESULTS, Outcome, Settings

INTERRUPTED = 130  # the shell's status of a program ended by Ctrl-C
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
Pictures can also become data sets, folders <output>/dataset-<format>: --save
coco-panoptic, coco-rle, cityscapes, yolo-seg, parquet.
Results keep the folders of their inputs, and the suffix where two names would be
the same. Unfinished results are in folders called .part.
"""


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
        choices=(*RESULTS, *DATASETS),
        metavar="RESULT",
        help="any of overlay, labels, confidence; by default all of them for pictures, the overlay "
        "for videos, labels and confidence for bags; also data sets of all pictures together: "
        f"{', '.join(DATASETS)}",
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


def settings_of(options: argparse.Namespace) -> Settings:
    """What a command line with `add_arguments` asks for."""
    return Settings(
        options.output,
        options.alpha,
        _files(options.save) if options.save else None,
        tuple(options.topics) if options.topics else None,
        options.overwrite,
    )


def _files(save: Sequence[str]) -> frozenset[str]:
    """The results of single inputs; data sets are made of labels."""
    chosen = frozenset(save)
    return chosen & frozenset(RESULTS) | ({"labels"} if chosen & frozenset(DATASETS) else set())


def datasets_of(options: argparse.Namespace) -> list[str]:
    """The data sets that a command line with `add_arguments` asks for."""
    return [name for name in DATASETS if name in (options.save or ())]


def save_datasets(
    options: argparse.Namespace, inputs: Sequence[Input], classes: Sequence[str]
) -> bool:
    """Write the data sets that are asked for, and say so; returns whether they could be.

    Args:
        inputs: those that were segmented.
        classes: names, in the order of the ids.
    """
    formats = datasets_of(options)
    if not formats:
        return True
    try:
        origin = Provenance(classes, described(options))
        notes = write_datasets(formats, options.output, inputs, origin)
    except Exception as error:  # the results that it would be made of are there
        complain(options.output, sentence_of(error))
        return False
    for sentence in notes:
        complain(options.output, sentence)
    return True


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
    for problem in (segmenter.text_cache_problem, segmenter.engine_problem):
        if problem:
            say(f"dinoiser: {problem}", error=True)
    settings = settings_of(options)
    classes = [entry.name for entry in segmenter.classes]
    check_formats(datasets_of(options), classes, options.output)
    done: Counter[str | None] = Counter()
    segmented: list[Input] = []
    complete, strange = True, Strange()
    several = len(inputs) > 1
    with progress_bar("inputs", len(inputs), "input", keep=False, show=several) as progress:
        for entry in inputs:
            outcome = _segment(segmenter, entry, settings)
            done[entry.kind] += outcome is not None
            if outcome is not None:
                segmented.append(entry)
                strange.add(outcome)
            complete &= outcome is not None and not outcome.problems
            progress.update()
    strange.say()
    complete &= save_datasets(options, segmented, classes)
    say(f"{counted(inputs, done)} segmented into {printable(options.output)}")
    return 0 if complete else 1


def _segment(segmenter: Segmenter, entry: Input, settings: Settings) -> Outcome | None:
    """Segment one input and say how it went; None if it could not be done."""
    try:
        outcome = segment_input(segmenter, entry, settings)
    except Exception as error:  # whatever one input does, the others are segmented
        complain(entry.path, sentence_of(error))
        return None
    say_outcome(entry.path, outcome)
    return outcome
