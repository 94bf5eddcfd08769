# SPDX-License-Identifier: Apache-2.0
"""The command line, `dinoiser`: segment files, show a page, measure, export models, train."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from types import ModuleType

from dinoiser_ros.archives import command as archives
from dinoiser_ros.doctor import command as doctor
from dinoiser_ros.evaluation import command as evaluation
from dinoiser_ros.export import command as export
from dinoiser_ros.media import command as media
from dinoiser_ros.option_schema import FRAME_OPTIONS
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.training.heads.options import add_arguments
from dinoiser_ros.training.maskclip_plus import options as plus_options
from dinoiser_ros.utils.closed_output import end_with_reader
from dinoiser_ros.utils.sentences import sentence_of
from dinoiser_ros.utils.version import package_version
from dinoiser_ros.web import command as web

from . import models, quantize, teach
from .arguments import add_file_arguments, add_model_arguments, add_option_arguments, load

_METHOD = [option for option in FRAME_OPTIONS if option.name == "method"]


@end_with_reader()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None for those of the process.

    Returns:
        The exit status: 0, 1 after an error that was printed as one sentence.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except BrokenPipeError:
        raise
    except Exception as error:  # whatever it is, the user is told in one sentence
        print(f"dinoiser: {sentence_of(error)}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dinoiser", description=__doc__)
    version = package_version() or "of the sources"
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    segment = _described(commands, "segment", "segment pictures, videos and bags by text", media)
    archives.add_arguments(segment)
    add_option_arguments(segment, FRAME_OPTIONS)
    segment.set_defaults(run=_segment)
    page = _described(commands, "web", "look at pictures and try prompts in a browser", web)
    add_option_arguments(page, FRAME_OPTIONS)
    page.set_defaults(run=_web)
    show = _described(commands, "teach", "give classes by examples in pictures", teach)
    add_option_arguments(show, teach.OPTIONS)
    show.set_defaults(run=_teach)
    measure = commands.add_parser("evaluate", help="mIoU on benchmarks, methods side by side")
    evaluation.add_arguments(measure)
    measure.set_defaults(run=_evaluate)
    fetch = commands.add_parser("download", help="fetch a model's files into the cache")
    fetch.set_defaults(run=_download)
    add_option_arguments(fetch, _METHOD)
    for command in (segment, page, show, measure, fetch):
        add_model_arguments(command)
    listed = _described(commands, "models", "list the models and what is on this disk", models)
    listed.set_defaults(run=models.run)
    examine = _described(commands, "doctor", "what this machine has, and whether it works", doctor)
    examine.set_defaults(run=doctor.run)
    write = _described(commands, "export", "write a model as ONNX", export)
    add_file_arguments(write)
    write.set_defaults(run=_export, device="cpu", precision="float32", engine="torch")
    int8 = _described(commands, "quantize", "make a model's int8 form for OpenVINO", quantize)
    add_option_arguments(int8, quantize.OPTIONS)
    add_file_arguments(int8)
    int8.set_defaults(run=_quantize, device="cpu", precision="float32", engine="torch")
    train = commands.add_parser("train-heads", help="train heads for any OpenCLIP ViT")
    add_arguments(train)
    train.set_defaults(run=_train_heads)
    plus = commands.add_parser(
        "train-maskclip-plus", help="train a fast network for a fixed list of classes"
    )
    plus_options.add_arguments(plus)
    plus.set_defaults(run=_train_maskclip_plus)
    return parser


def _described(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    module: ModuleType,
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


def _segment(options: argparse.Namespace) -> int:
    if archives.is_wanted(options):
        return archives.run(options, partial(_load_on, options))
    return media.run(options, lambda: _load_with_options(options))


def _web(options: argparse.Namespace) -> int:
    return web.run(options, lambda: _load_with_options(options))


def _teach(options: argparse.Namespace) -> int:
    chosen = {option.name: getattr(options, option.name) for option in teach.OPTIONS}
    return teach.run(options, lambda: load(options, **chosen))


def _load_on(options: argparse.Namespace, device: str) -> Segmenter:
    """What a worker calls in its own process."""
    return _load_with_options(argparse.Namespace(**{**vars(options), "device": device}))


def _load_with_options(options: argparse.Namespace) -> Segmenter:
    if METHODS[options.method].request:  # CLIP has no classes of its own; said before it is fetched
        parse_prompts(options.prompts)
    chosen = {option.name: getattr(options, option.name) for option in FRAME_OPTIONS}
    return load(options, **chosen)


def _evaluate(options: argparse.Namespace) -> int:
    return evaluation.run(options, lambda method: load(options, method))


def _export(options: argparse.Namespace) -> int:
    return export.run(options, lambda **chosen: load(options, **chosen))


def _quantize(options: argparse.Namespace) -> int:
    chosen = {option.name: getattr(options, option.name) for option in quantize.OPTIONS}
    return quantize.run(options, lambda: load(options, **chosen))


def _download(options: argparse.Namespace) -> int:
    segmenter = load(options, options.method)
    print(f"{segmenter.model_name} is here and works: it can now be used with --offline.")
    return 0


# Only training needs OpenCLIP and torchvision from the start: seconds that no other command waits.


def _train_heads(options: argparse.Namespace) -> int:
    from dinoiser_ros.training import train_heads

    return train_heads.run_command(options)


def _train_maskclip_plus(options: argparse.Namespace) -> int:
    from dinoiser_ros.training import train_maskclip_plus

    return train_maskclip_plus.run_command(options)


if __name__ == "__main__":
    sys.exit(main())
