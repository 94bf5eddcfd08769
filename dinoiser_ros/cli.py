"""The command line, `dinoiser`: segment pictures, measure, fetch models, train; no ROS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .evaluation import command as evaluation
from .model_arguments import add_model_arguments, load
from .segmentation import DinoiserError, Segmenter
from .segmentation.methods import BACKGROUND_SOURCES, METHODS
from .segmentation.options import BACKGROUND_FILTERS, Options
from .segmentation.vocabulary import parse_prompts
from .training import plus_options, train_heads, train_maskclip_plus
from .training.errors import TrainingError
from .training.head_options import add_arguments
from .training.image_folder import SUFFIXES
from .viz import overlay


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        The exit status: 0, 1 after an error that was printed as one sentence.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (DinoiserError, TrainingError, OSError) as error:
        print(f"dinoiser: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dinoiser", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    segment = commands.add_parser("segment", help="segment pictures by text")
    segment.add_argument("pictures", nargs="+", type=Path, help="picture files or folders of them")
    segment.add_argument(
        "-p",
        "--prompts",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="what to look for; 'floor: wooden floor, carpet' is one class of two phrases; a "
        "checkpoint of maskclip+ looks for its own classes without any",
    )
    segment.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("segmented"),
        help="folder for <name>_overlay.png, _labels.png and _confidence.png (%(default)s)",
    )
    segment.add_argument(
        "--alpha", type=float, default=0.5, help="strength of the overlay (0 to 1)"
    )
    _add_option_arguments(segment)
    segment.add_argument(
        "--inference-size",
        type=int,
        metavar="PIXELS",
        help="shorter side at inference; the model's own by default, 0 for the picture's own",
    )
    segment.set_defaults(run=_segment)
    measure = commands.add_parser("evaluate", help="mIoU on benchmarks, methods side by side")
    evaluation.add_arguments(measure)
    measure.set_defaults(run=_evaluate)
    fetch = commands.add_parser("download", help="fetch a model's files into the cache")
    fetch.set_defaults(run=_download)
    for command in (segment, fetch):
        _add_method_argument(command)
    for command in (segment, measure, fetch):
        add_model_arguments(command)
    train = commands.add_parser("train-heads", help="train heads for any OpenCLIP ViT")
    add_arguments(train)
    train.set_defaults(run=train_heads.run_command)
    plus = commands.add_parser(
        "train-maskclip-plus", help="train a fast network for a fixed list of classes"
    )
    plus_options.add_arguments(plus)
    plus.set_defaults(run=train_maskclip_plus.run_command)
    return parser


# Options of `Segmenter` that are a number from 0 to 1, and what they are for.
_FRACTIONS = {
    "confidence_threshold": "less confident pixels become unlabeled",
    "gamma": "least similarity of patches that dinoiser pools together",
    "delta": "confidence below which the background filter may act",
    "ks_threshold": "confidence below which maskclip-ks smooths",
    "pd_threshold": "confidence that maskclip-pd wants of a class somewhere",
    "attention_thr": "share of the maximum below which cliper drops scores",
}


def _add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """What changes how a picture is segmented; the names and defaults are those of `Options`."""
    defaults = Options()
    parser.add_argument(
        "--background-filter", choices=BACKGROUND_FILTERS, default=defaults.background_filter
    )
    parser.add_argument(
        "--background-source", choices=BACKGROUND_SOURCES, default=defaults.background_source
    )
    parser.add_argument(
        "--background-uncertainty",
        action=argparse.BooleanOptionalAction,
        default=defaults.background_uncertainty,
        help="whether the background filter leaves patches alone whose class is certain",
    )
    for name, meaning in _FRACTIONS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=getattr(defaults, name),
            metavar="0..1",
            help=meaning,
        )


def _add_method_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=Options.method,
        help="it decides which files are needed",
    )


def _segment(options: argparse.Namespace) -> int:
    pictures = find_pictures(options.pictures)
    if not pictures:
        print("dinoiser: no picture found: give PNG or JPEG files, or a folder.", file=sys.stderr)
        return 1
    if METHODS[options.method].request:  # CLIP has no classes of its own; said before it is fetched
        parse_prompts(options.prompts)
    segmenter = load(
        options,
        options.method,
        background_filter=options.background_filter,
        background_source=options.background_source,
        background_uncertainty=options.background_uncertainty,
        **{name: getattr(options, name) for name in _FRACTIONS},
    )
    wanted = options.inference_size
    segmenter.inference_size = (
        segmenter.default_inference_size if wanted is None else wanted or None
    )
    segmenter.set_prompts(options.prompts)
    options.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    for picture in pictures:
        try:
            shares = segment_picture(segmenter, picture, options.output, options.alpha)
        except (DinoiserError, OSError) as error:  # one bad picture does not end a folder
            print(f"dinoiser: {picture}: {error}", file=sys.stderr)
            failed += 1
        else:
            print(f"{picture}: {shares}")
    print(f"{len(pictures) - failed} of {len(pictures)} pictures segmented into {options.output}")
    return 1 if failed else 0


def find_pictures(places: Sequence[Path]) -> list[Path]:
    """Files as given, and the pictures directly inside folders, sorted by name."""
    found: list[Path] = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else []
        found += [file for file in inside if file.suffix.lower() in SUFFIXES] or (
            [] if place.is_dir() else [place]
        )
    return found


def segment_picture(segmenter: Segmenter, picture: Path, output: Path, alpha: float) -> str:
    """Segment one file and write overlay, labels and confidence (0 to 255) beside each other.

    Returns:
        The classes found with their share of the pixels, the largest first.

    Raises:
        DinoiserError, OSError: the picture cannot be read or segmented, or nothing written.
    """
    with Image.open(picture) as file:
        image = np.asarray(file.convert("RGB"))
    result = segmenter.segment(image)
    pictures = {
        "overlay": overlay(image, result, alpha),
        "labels": result.labels,
        "confidence": np.round(result.confidence * 255).astype(np.uint8),
    }
    for kind, array in pictures.items():
        Image.fromarray(array).save(output / f"{picture.stem}_{kind}.png")
    counts = [(int((result.labels == c.id).sum()), c.name) for c in result.classes]
    shares = sorted(((n, name) for n, name in counts if n), key=lambda pair: -pair[0])
    return ", ".join(f"{name} {100 * n / result.labels.size:.0f}%" for n, name in shares)


def _evaluate(options: argparse.Namespace) -> int:
    return evaluation.run(options, lambda method: load(options, method))


def _download(options: argparse.Namespace) -> int:
    segmenter = load(options, options.method)
    print(f"{segmenter.model_name} is here and works: it can now be used with --offline.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
