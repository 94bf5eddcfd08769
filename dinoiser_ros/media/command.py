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
from dinoiser_ros.utils.number_types import positive, share
from dinoiser_ros.utils.progress import progress_bar, say
from dinoiser_ros.utils.sentences import printable, sentence_of

from .datasets.pseudo_labels import forget_index, write_index
from .inputs import SUPPORTED, Input, find_inputs
from .provenance import described
from .reporting import Strange, complain, counted, say_outcome
from .segment_input import segment_inputs
from .settings import DATASETS, PSEUDO_LABELS, RESULTS, Outcome, Settings

_UNSURE = (
    "the pseudo labels have all pixels, unsure ones as well: --confidence-threshold 0.5 leaves out "
    "those that are more likely wrong than right."
)
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
        choices=(*RESULTS, *DATASETS, PSEUDO_LABELS),
        metavar="RESULT",
        help="any of overlay, labels, confidence; by default all of them for pictures, the overlay "
        "for videos, labels and confidence for bags; also data sets of all pictures together: "
        f"{', '.join(DATASETS)}; or, of all inputs, {PSEUDO_LABELS} for train-maskclip-plus",
    )
    parser.add_argument("--alpha", type=share, default=0.5, help="strength of the overlay (0 to 1)")
    parser.add_argument(
        "--topics",
        nargs="+",
        metavar="TOPIC",
        help="image topics of bags to segment; by default all except those that look like depth",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        default=1,
        metavar="N",
        help="send N images of one size through the network together, from several files, too; it "
        "takes more memory, saves time on GPUs, and may change the last digits of confidences "
        "(%(default)s)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace videos and bags of an earlier run; pictures always are",
    )


def settings_of(options: argparse.Namespace) -> Settings:
    """What a command line with `add_arguments` asks for."""
    return Settings(
        options.output,
        options.alpha,
        _files(options.save) if options.save else None,
        tuple(options.topics) if options.topics else None,
        options.overwrite,
        options.batch,
        PSEUDO_LABELS in (options.save or ()),
    )


def _files(save: Sequence[str]) -> frozenset[str]:
    """The results of single inputs; data sets are made of labels."""
    chosen = frozenset(save)
    return chosen & frozenset(RESULTS) | ({"labels"} if chosen & frozenset(DATASETS) else set())


def datasets_of(options: argparse.Namespace) -> list[str]:
    """The data sets that a command line with `add_arguments` asks for."""
    return [name for name in DATASETS if name in (options.save or ())]


def check_datasets(options: argparse.Namespace, classes: Callable[[], Sequence[str]]) -> None:
    """Find out before anything is segmented whether the data sets can be written.

    Args:
        classes: gives the names, in the order of the ids, if they are needed.

    Raises:
        MediaError: one cannot; it says what to do.
    """
    if formats := datasets_of(options):
        check_formats(formats, classes(), options.output)
    if PSEUDO_LABELS in (options.save or ()):
        forget_index(options.output)


def save_datasets(
    options: argparse.Namespace,
    inputs: Sequence[Input],
    classes: Callable[[], Sequence[str]],
) -> bool:
    """Write the data sets that are asked for, and say so; returns whether they could be.

    Args:
        inputs: those that were segmented.
        classes: gives the names, in the order of the ids, if they are needed.
    """
    formats = datasets_of(options)
    wants_pairs = PSEUDO_LABELS in (options.save or ())
    if not formats and not wants_pairs:
        return True
    try:
        origin = Provenance(classes(), described(options))
        notes = write_datasets(formats, options.output, inputs, origin) if formats else []
        if wants_pairs:
            write_index(options.output, inputs, origin)
            if not origin.record.get("confidence_threshold", 1.0):
                notes.append(_UNSURE)
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
    check_datasets(options, lambda: classes)
    done: Counter[str | None] = Counter()
    segmented: list[Input] = []
    complete, strange = True, Strange()
    several = len(inputs) > 1
    with progress_bar("inputs", len(inputs), "input", keep=False, show=several) as progress:
        work = ((entry, settings) for entry in inputs)
        for entry, found in segment_inputs(segmenter, work, settings.batch):
            if isinstance(found, Outcome):
                done[entry.kind] += 1
                segmented.append(entry)
                strange.add(found)
                say_outcome(entry.path, found)
            else:
                complain(entry.path, sentence_of(found))
            complete &= isinstance(found, Outcome) and not found.problems
            progress.update()
    strange.say()
    complete &= save_datasets(options, segmented, lambda: classes)
    say(f"{counted(inputs, done)} segmented into {printable(options.output)}")
    return 0 if complete else 1
