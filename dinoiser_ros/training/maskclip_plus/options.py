# SPDX-License-Identifier: Apache-2.0
"""The options of training MaskCLIP+, and how a command line gives them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dinoiser_ros.cli.arguments import add_model_arguments, load
from dinoiser_ros.errors import TrainingError
from dinoiser_ros.option_schema import FrameOptions, ModelOptions
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.device import PRECISIONS
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.networks.embedding_network import BACKBONES, HEADS
from dinoiser_ros.training.common.arguments import (
    add_run_arguments,
    add_view_arguments,
)
from dinoiser_ros.training.common.image_folder import Views
from dinoiser_ros.training.common.run_state import SAVE_EVERY
from dinoiser_ros.utils.number_types import count, not_negative, positive, share

from .labelled_folder import as_labelled, has_labels
from .trainer import PlusSchedule

BATCH = 16
BRIGHTNESS = 0.3


@dataclass(frozen=True)
class PlusOptions:
    """What to train, from what and how.

    Attributes:
        pictures, output: folder to learn from, file to write.
        head, backbone: see `EmbeddingNetwork`.
        pretrained_backbone: path or URL of a classifier's weights; None for random ones.
        views: how pictures become views; their shorter side is the network's inference size.
        batch: pictures of a step.
        max_pictures: use this many, chosen at random; None for all.
        precision: "float32", "bfloat16", or "auto": bfloat16 on GPUs that have it.
        workers: processes that read pictures.
        save_every: seconds between two checkpoints.
    """

    pictures: Path
    output: Path = Path("maskclip_plus.safetensors")
    head: str = HEADS[0]
    backbone: str = BACKBONES[0]
    pretrained_backbone: str | None = None
    schedule: PlusSchedule = field(default_factory=PlusSchedule)
    views: Views = field(default_factory=Views)
    batch: int = BATCH
    max_pictures: int | None = None
    seed: int = 0
    precision: str = ModelOptions.precision
    offline: bool = ModelOptions.offline
    workers: int = 4
    save_every: float = SAVE_EVERY

    def check(self) -> None:
        """Refuse what cannot be trained or written, before hours have passed.

        Raises:
            TrainingError: one sentence that says what to change.
        """
        self.views.check()
        if self.output.suffix != ".safetensors":
            raise TrainingError(f"{self.output} has another suffix: use .safetensors.")
        if self.precision == "float16":
            raise TrainingError("float16 is too coarse to train with: use bfloat16 or float32.")
        if self.batch < 2:
            raise TrainingError("A batch of 1 has no statistics to normalise with: use 2 or more.")

    def training_precision(self, device: torch.device) -> torch.dtype:
        """What the network computes in on a device while it is trained."""
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        mixed = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if mixed else torch.float32

    @staticmethod
    def from_arguments(given: argparse.Namespace, size: int) -> PlusOptions:
        """The options of a command line with `add_arguments`.

        Args:
            size: the teacher's inference size, for pictures where no other is given.
        """
        shorter = given.size or size
        names = (
            "pictures", "output", "head", "backbone", "pretrained_backbone", "batch",
            "max_pictures", "seed", "precision", "offline", "workers", "save_every",
        )  # fmt: skip
        return PlusOptions(
            **{name: getattr(given, name) for name in names},
            schedule=PlusSchedule(
                given.steps, given.self_training_steps, given.lr, given.weight_decay,
                given.threshold,
            ),
            views=Views(shorter, given.crop or shorter, given.flip, given.brightness),
        )  # fmt: skip


def load_teacher(given: argparse.Namespace) -> Segmenter:
    """The teacher of a command line, its prompts set; of labelled pictures, the one they had.

    Raises:
        TrainingError: there are no prompts, or not those of the labels.
        DinoiserError: see `Segmenter`.
    """
    if has_labels(given.pictures):
        given = as_labelled(given)
    elif not given.prompts:
        raise TrainingError("There are no classes: give --prompts floor person, for example.")
    views = {"inference_size": 0}  # they have the size that is trained at
    teacher = load(given, given.teacher_method, confidence_threshold=given.threshold, **views)
    teacher.set_prompts(given.prompts)
    return teacher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; their defaults are those of the dataclasses."""
    parser.add_argument(
        "pictures",
        type=Path,
        help="folder of pictures, in any layout; or what 'dinoiser segment --save pseudo-labels' "
        "made, whose labels, prompts and model are then used",
    )
    parser.add_argument(
        "-p",
        "--prompts",
        nargs="+",
        default=[],
        metavar="TEXT",
        help="the classes; 'floor: wooden floor, carpet' is one class of two phrases",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=PlusOptions.output, help="(%(default)s)"
    )
    teacher = parser.add_argument_group("teacher, and where both compute")
    teacher.add_argument(
        "--teacher-method", choices=METHODS, default=FrameOptions.method, help="(%(default)s)"
    )
    add_model_arguments(teacher)
    _add_network(parser.add_argument_group("network"))
    _add_schedule(parser.add_argument_group("schedule"))


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--head", choices=HEADS, default=PlusOptions.head, help="(%(default)s)")
    group.add_argument(
        "--backbone",
        choices=BACKBONES,
        default=PlusOptions.backbone,
        help="of torchvision; the head lraspp goes with mobilenet_v3_large (%(default)s)",
    )
    group.add_argument(
        "--pretrained-backbone",
        metavar="FILE",
        help="path or URL of torchvision's ImageNet weights for it; random without",
    )


def _add_schedule(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--steps", type=positive, default=PlusSchedule.steps,
        help="steps with the teacher's labels (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--self-training-steps", type=count, default=PlusSchedule.self_training_steps,
        help="steps after that with the network's own labels (%(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--threshold", type=share, default=PlusSchedule.threshold, metavar="0..1",
        help="pixels whose label is less probable are ignored (%(default)s)",
    )  # fmt: skip
    group.add_argument("--batch", "--batch-size", type=positive, default=BATCH)
    group.add_argument("--lr", type=not_negative, default=PlusSchedule.lr, help="(%(default)s)")
    group.add_argument("--weight-decay", type=not_negative, default=PlusSchedule.weight_decay)
    group.add_argument(
        "--size", type=positive, help="shorter side, also at inference; the teacher's by default"
    )
    group.add_argument("--crop", type=positive, help="side of the views; the size by default")
    add_view_arguments(group, Views.flip, BRIGHTNESS, PlusOptions.seed)
    add_run_arguments(group, PlusOptions.workers)
