# SPDX-License-Identifier: Apache-2.0
"""The options of training heads, and how a command line gives them."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch

from dinoiser_ros.option_schema import ModelOptions
from dinoiser_ros.segmentation.device import PRECISIONS
from dinoiser_ros.segmentation.networks.dinoiser_heads import CHANNELS
from dinoiser_ros.training.common.arguments import (
    add_run_arguments,
    add_view_arguments,
)
from dinoiser_ros.training.common.image_folder import Views, find_pictures
from dinoiser_ros.training.common.run_state import SAVE_EVERY
from dinoiser_ros.utils.number_types import count, not_negative, positive, share

from .files import Thresholds
from .load_teachers import DINO_URLS, TeacherNames
from .schedule import HeadSchedule

EPOCHS, BATCH = 100, 16  # the authors'


@dataclass(frozen=True)
class HeadOptions:
    """What to train, from what and how; the defaults are the paper's.

    Attributes:
        pictures, output: folder to learn from, file to write.
        model, weights: as of `Segmenter`.
        batch: pictures of a step, in all processes together.
        channels: outputs of g.
        max_pictures: use this many, chosen at random; None for all.
        start_from: heads to train further; None for random ones.
        precision: of the frozen networks; the heads always train in float32.
        workers: processes that read pictures.
        save_every: seconds between two checkpoints.
    """

    pictures: Path
    output: Path = Path("heads.safetensors")
    model: str = ModelOptions.model
    weights: str | None = ModelOptions.weights
    thresholds: Thresholds = field(default_factory=Thresholds)
    teachers: TeacherNames = field(default_factory=TeacherNames)
    schedule: HeadSchedule = field(default_factory=HeadSchedule)
    views: Views = field(default_factory=Views)
    batch: int = BATCH
    channels: int = CHANNELS
    max_pictures: int | None = None
    start_from: Path | None = None
    seed: int = 0
    device: str = ModelOptions.device
    precision: str = ModelOptions.precision
    offline: bool = ModelOptions.offline
    workers: int = 4
    save_every: float = SAVE_EVERY

    def frozen_precision(self, device: torch.device) -> torch.dtype:
        """What the frozen networks compute in on a device."""
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

    @staticmethod
    def from_arguments(given: argparse.Namespace) -> HeadOptions:
        """The options of a command line with `add_arguments`.

        Raises:
            TrainingError: the folder has no pictures, so that epochs have no length.
        """
        values = vars(given)
        known = {item.name for item in fields(HeadOptions)}
        plain = {name: value for name, value in values.items() if name in known}
        steps = given.steps
        if steps is None:
            count = len(find_pictures(given.pictures, given.max_pictures, given.seed))
            steps = max(1, math.ceil(given.epochs * count / given.batch))
        return HeadOptions(
            **plain,
            thresholds=Thresholds(given.gamma, given.delta, given.layer),
            teachers=TeacherNames(given.dino, given.found, given.found_dino),
            schedule=HeadSchedule(
                steps, given.lr_projection, given.lr_objectness, given.drop_after, given.gamma
            ),
            views=Views(given.size, given.crop, given.flip, given.brightness),
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; their defaults are those of the dataclasses."""
    parser.add_argument("pictures", type=Path, help="folder of pictures, in any layout")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=HeadOptions.output,
        help="file to write: .safetensors, or .pt in the authors' layout (%(default)s)",
    )
    _add_model(parser.add_argument_group("the CLIP that the heads are for"))
    _add_teachers(parser.add_argument_group("teachers"))
    _add_schedule(parser.add_argument_group("schedule (the paper's by default)"))
    _add_machine(parser.add_argument_group("machine"))


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model", default=HeadOptions.model, help="a name, or an OpenCLIP config (%(default)s)"
    )
    group.add_argument("--weights", help="path or URL of the model's weights")
    group.add_argument(
        "--layer",
        type=int,
        default=Thresholds.intermediate_layer,
        help="block whose features the heads read; negative counts from the end (%(default)s)",
    )
    group.add_argument(
        "--channels", type=positive, default=CHANNELS, help="output channels of the head g"
    )
    group.add_argument(
        "--gamma",
        type=share,
        default=Thresholds.gamma,
        help="least correlation of patches that belong together (%(default)s)",
    )
    group.add_argument(
        "--delta",
        type=share,
        default=Thresholds.delta,
        help="probability below which a patch is unsure; written, not trained (%(default)s)",
    )
    group.add_argument("--start-from", type=Path, metavar="HEADS", help="heads to train further")


def _add_teachers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dino",
        default=TeacherNames.dino,
        help=f"{', '.join(DINO_URLS)}, a checkpoint of DINO, an OpenCLIP config with the weights "
        "beside it, or a name of timm (%(default)s)",
    )
    group.add_argument(
        "--found",
        default=TeacherNames.found,
        help="found (the trained head), its file, or seed (needs nothing but DINO) (%(default)s)",
    )
    group.add_argument(
        "--found-dino", metavar="DINO", help="the DINO that FOUND reads, if not its usual one"
    )


def _add_schedule(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=not_negative, default=EPOCHS)
    group.add_argument("--steps", type=positive, help="instead of epochs")
    group.add_argument("--batch", type=positive, default=BATCH)
    group.add_argument("--lr-projection", type=not_negative, default=HeadSchedule.lr_projection)
    group.add_argument("--lr-objectness", type=not_negative, default=HeadSchedule.lr_objectness)
    group.add_argument(
        "--drop-after",
        type=count,
        default=HeadSchedule.drop_after,
        metavar="STEP",
        help="from this step on, learning rates are a tenth (%(default)s)",
    )
    group.add_argument(
        "--size", type=positive, default=Views.shorter_side, help="shorter side (%(default)s)"
    )
    group.add_argument("--crop", type=positive, default=Views.crop, help="(%(default)s)")
    add_view_arguments(group, Views.flip, Views.brightness, HeadOptions.seed)


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default=HeadOptions.device, help="auto, cpu, cuda, cuda:1, ...")
    group.add_argument(
        "--precision",
        choices=("auto", *PRECISIONS),
        default=HeadOptions.precision,
        help="of the frozen networks; auto: bfloat16 on GPUs that have it (%(default)s)",
    )
    group.add_argument("--offline", action="store_true", help="never use the network")
    add_run_arguments(group, HeadOptions.workers)
