# SPDX-License-Identifier: Apache-2.0
"""The command line, `dinoiser`: segment files, measure, fetch and export models, train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.evaluation import command as evaluation
from dinoiser_ros.export import command as export
from dinoiser_ros.media import command as media
from dinoiser_ros.segmentation import DinoiserError, Segmenter
from dinoiser_ros.segmentation.methods.registry import BACKGROUND_SOURCES, METHODS
from dinoiser_ros.segmentation.options import BACKGROUND_FILTERS, Options
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.training import train_heads, train_maskclip_plus
from dinoiser_ros.training.heads.options import add_arguments
from dinoiser_ros.training.maskclip_plus import options as plus_options

from .arguments import add_file_arguments, add_model_arguments, load


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
    segment = _described(commands, "segment", "segment pictures, videos and bags by text", media)
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
    write = _described(commands, "export", "write a model as ONNX", export)
    add_file_arguments(write)
    write.set_defaults(run=_export, device="cpu", precision="float32")
    train = commands.add_parser("train-heads", help="train heads for any OpenCLIP ViT")
    add_arguments(train)
    train.set_defaults(run=train_heads.run_command)
    plus = commands.add_parser(
        "train-maskclip-plus", help="train a fast network for a fixed list of classes"
    )
    plus_options.add_arguments(plus)
    plus.set_defaults(run=train_maskclip_plus.run_command)
    return parser


def _described(
    commands: argparse._SubParsersAction, name: str, summary: str, module: ModuleType
) -> argparse.ArgumentParser:
    """A command whose module says at length what it does, and declares its own arguments."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=module.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
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
    return media.run(options, lambda: _load_with_options(options))


def _load_with_options(options: argparse.Namespace) -> Segmenter:
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
    return segmenter


def _evaluate(options: argparse.Namespace) -> int:
    return evaluation.run(options, lambda method: load(options, method))


def _export(options: argparse.Namespace) -> int:
    return export.run(options, lambda **chosen: load(options, **chosen))


def _download(options: argparse.Namespace) -> int:
    segmenter = load(options, options.method)
    print(f"{segmenter.model_name} is here and works: it can now be used with --offline.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
