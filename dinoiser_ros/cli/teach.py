# SPDX-License-Identifier: Apache-2.0
"""`dinoiser teach`: give classes by examples in picture files, list them and remove them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.option_schema import FRAME_OPTIONS
from dinoiser_ros.pictures.decode import read_picture
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.utils.number_types import positive

DESCRIPTION = """\
Give a class by examples where words fail. Prompts name it with @:

  dinoiser teach tote shelf.jpg --point 320,240 --examples-file robot.safetensors
  dinoiser segment shelf.jpg -p "tote: blue tote, @tote" floor --examples-file robot.safetensors

Without a name and a picture, the examples in the file are listed."""

OPTIONS = [option for option in FRAME_OPTIONS if option.name in ("method", "inference_size")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes, but for the options of the model."""
    parser.add_argument("name", nargs="?", help="of the class, without the @")
    parser.add_argument("picture", nargs="?", type=Path, help="a picture that shows it")
    region = parser.add_mutually_exclusive_group()
    region.add_argument(
        "--point", action="append", type=_numbers(2), metavar="X,Y",
        help="a pixel of it; may be repeated, each is an example",
    )  # fmt: skip
    region.add_argument("--box", type=_numbers(4), metavar="L,T,R,B", help="a box around it")
    region.add_argument("--mask", type=Path, help="a picture of the same size, not black on it")
    region.add_argument(
        "--remove", nargs="?", type=positive, const=0, metavar="COUNT",
        help="remove its examples, or so many of those taught last",
    )  # fmt: skip


def run(arguments: argparse.Namespace, load: Callable[[], Segmenter]) -> int:
    """Teach, remove or list.

    Args:
        arguments: the parsed command line.
        load: gives the segmenter.

    Raises:
        DinoiserError: see `Segmenter.teach` and `Segmenter.forget`.
    """
    if not arguments.examples_file:
        raise ExampleError("Nothing would be kept: give --examples-file FILE.safetensors.")
    if arguments.name is None:
        counts = load().examples.counts
        for name, count in counts.items():
            print(f"@{name}  {count}")
        if not counts:
            print(f"There are no examples in {arguments.examples_file}.")
        return 0
    if arguments.remove is not None:
        left = load().forget(arguments.name, arguments.remove or None)
        print(f"@{arguments.name} has {left} examples left.")
        return 0
    given = (arguments.point, arguments.box, arguments.mask)
    if arguments.picture is None or all(one is None for one in given):
        raise ExampleError("Give a picture and what shows the class: --point, --box or --mask.")
    image, region = read_picture(arguments.picture), _region(arguments)
    count = load().teach(arguments.name, image, region)
    print(f"@{arguments.name} has {count} examples.")
    return 0


def _region(arguments: argparse.Namespace) -> Any:
    if arguments.mask is not None:
        return read_picture(arguments.mask).any(axis=2)
    return arguments.box if arguments.box is not None else arguments.point


def _numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    """A reader of so many numbers between commas."""

    def read(text: str) -> tuple[float, ...]:
        parts = re.split(r"\s*,\s*", text.strip())
        try:
            values = tuple(map(float, parts))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers between commas")
        return values

    return read
