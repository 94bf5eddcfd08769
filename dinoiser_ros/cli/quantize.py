# SPDX-License-Identifier: Apache-2.0
"""`dinoiser quantize`: a model in 8-bit integers, for `engine: openvino`, `precision: int8`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dinoiser_ros.errors import EngineError, PictureError
from dinoiser_ros.option_schema import FRAME_OPTIONS
from dinoiser_ros.pictures.decode import read_picture
from dinoiser_ros.pictures.folders import is_picture_file
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.engines.quantisation import Quantisation
from dinoiser_ros.segmentation.inference.forward import label_batch
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.assembly import network_identity
from dinoiser_ros.segmentation.pixels.preprocess import inference_shape, stack_images
from dinoiser_ros.utils.number_types import share, whole_number

DESCRIPTION = """\
Make a model's int8 form, with the ranges of numbers that your own pictures need:

  dinoiser quantize --images pictures/ -p floor person chair
  ros2 run dinoiser_ros segment_node --ros-args -p engine:=openvino -p precision:=int8

A quarter of the pictures is kept aside. On these the labels of both forms are compared, and the
int8 form is kept only if enough of them are equal. It is found by the same model and method from
then on."""

OPTIONS = [option for option in FRAME_OPTIONS if option.name in ("method", "inference_size")]
LEAST_PICTURES = 8
_ASIDE = 4  # every so manieth picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes, but for the options of the model."""
    parser.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER",
        help=f"with pictures of the place where the model will work, {LEAST_PICTURES} at least",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--prompts", nargs="+", required=True, metavar="TEXT",
        help="those in use, whose labels are compared",
    )  # fmt: skip
    parser.add_argument(
        "--most", type=whole_number(LEAST_PICTURES), default=80, metavar="COUNT",
        help="pictures that are used, spread over the folder (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--least-agreement", type=share, default=0.99, metavar="0..1",
        help="share of equal labels below which nothing is kept (%(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace, load: Callable[[], Segmenter]) -> int:
    """Quantise, compare, keep.

    Args:
        options: the parsed command line.
        load: gives the segmenter, in float32 on the CPU, computed by PyTorch.

    Returns:
        The exit status 0.

    Raises:
        EngineError: there are too few pictures, a package is missing, or labels differ too much.
        DinoiserError, OSError: see `Segmenter`; or nothing can be written.
    """
    pictures = read_pictures(options.images, options.most)
    aside = pictures[_ASIDE - 1 :: _ASIDE]
    learnt = [picture for number, picture in enumerate(pictures, 1) if number % _ASIDE]
    request = METHODS[options.method].request
    if request is None:
        raise EngineError(f"The method {options.method!r} has no network that can be quantised.")
    segmenter = load()
    segmenter.set_prompts(options.prompts)
    backbone = segmenter.backbone
    assert backbone is not None, "a method with a request has one"
    work = Quantisation(
        backbone, request, network_identity(backbone.visual),
        segmenter.shorter_side(segmenter.options),
    )  # fmt: skip
    model = work.quantised(learnt)
    with tempfile.TemporaryDirectory(prefix="dinoiser_int8_") as name:
        folder = Path(name)
        engine = work.engine(work.save(model, folder))
        shares = agreement(segmenter, replace(segmenter.parts, backbone=engine), aside)
        if engine.problem:
            raise EngineError(f"The int8 form was not kept: {engine.problem}.")
        mean, worst = float(np.mean(shares)), min(shares)
        found = (
            f"{mean:.2%} of the labels of {len(shares)} pictures that were kept aside are equal "
            f"(least of a picture: {worst:.2%})"
        )
        if mean < options.least_agreement:
            raise EngineError(
                f"The int8 form was not kept, since only {found}: give more pictures of the place, "
                "or accept it with a lower --least-agreement."
            )
        place = work.keep(folder, engine)
    print(f"{found}.\nwritten: {place}\nUse it with engine 'openvino' and precision 'int8'.")
    return 0


def read_pictures(folder: Path, most: int) -> list[np.ndarray]:
    """Pictures of a folder, spread over it in the order of their names.

    Args:
        folder: what is below its own folders is left out.
        most: so many of its pictures are tried, `LEAST_PICTURES` at least.

    Raises:
        EngineError: there are too few that can be read.
    """
    paths = sorted(filter(is_picture_file, folder.glob("*"))) if folder.is_dir() else []
    count = min(len(paths), most)
    chosen = [paths[number * len(paths) // count] for number in range(count)]
    pictures = []
    for path in chosen:
        try:
            pictures.append(read_picture(path))
        except PictureError as error:
            print(f"{path} is left out: {error}")
    if len(pictures) < LEAST_PICTURES:
        raise EngineError(
            f"{folder} has {len(pictures)} pictures that can be read: give a folder with "
            f"{LEAST_PICTURES} at least."
        )
    return pictures


@torch.inference_mode()
def agreement(segmenter: Segmenter, parts: Parts, pictures: Sequence[np.ndarray]) -> list[float]:
    """The share of labels, in each picture, that other networks give as the segmenter does."""
    vocabulary, options = segmenter.vocabulary, segmenter.options
    shares = []
    for picture in pictures:
        pixels = stack_images([picture])
        size = (picture.shape[0], picture.shape[1])
        shape = inference_shape(size, segmenter.shorter_side(options))
        wanted, got = (
            label_batch(pixels, shape, each, vocabulary, options)[0]
            for each in (segmenter.parts, parts)
        )
        shares.append(float((wanted == got).float().mean()))
    return shares
