# SPDX-License-Identifier: Apache-2.0
"""Train CLIP-DINOiser's heads for any OpenCLIP ViT from a folder of pictures, without labels.

Also as ``python -m dinoiser_ros.training.train_heads``, which torchrun can start once for each
GPU: ``torchrun --nproc-per-node 4 -m dinoiser_ros.training.train_heads pictures/``. A run that was
broken off goes on when it is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import open_clip
import torch

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.segmentation import DinoiserError
from dinoiser_ros.segmentation.device import resolve_device
from dinoiser_ros.segmentation.models.backbones import backbone_of
from dinoiser_ros.segmentation.models.loading import load_model
from dinoiser_ros.segmentation.models.registry import find_model
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.training.common.image_folder import FolderBatches, digest, find_pictures
from dinoiser_ros.training.common.processes import Team, team
from dinoiser_ros.training.common.progress_bar import ProgressBar
from dinoiser_ros.training.common.run_state import Checkpoint, Losses
from dinoiser_ros.training.heads.files import (
    check_output,
    curve,
    read_heads,
    save_heads,
    write_record,
)
from dinoiser_ros.training.heads.load_teachers import load_teachers
from dinoiser_ros.training.heads.losses import HeadBatch
from dinoiser_ros.training.heads.options import HeadOptions, add_arguments
from dinoiser_ros.training.heads.teacher import HeadTeacher, Teachers
from dinoiser_ros.training.heads.trainer import train_heads


def run(options: HeadOptions) -> Path | None:
    """Train, or go on training, and write the heads.

    Returns:
        The file written; None in all processes of a team but the main one.

    Raises:
        TrainingError, DinoiserError: one sentence that says what is wrong and what to do.
    """
    check_output(options.output, options.thresholds)
    pictures = find_pictures(options.pictures, options.max_pictures, options.seed)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with team(resolve_device(options.device)) as members:
        backbone = load_backbone(options, members.device)
        teachers = load_teachers(options.teachers, members.device, options.offline)
        check_sizes(options, members.size, backbone, teachers)
        heads = start_heads(options, backbone.width).to(members.device)
        teacher = HeadTeacher(backbone, teachers, options.frozen_precision(members.device))
        source = FolderBatches(
            pictures, options.views, options.batch, options.seed, members.rank, members.size
        )
        made = batches(source, teacher, options)
        path = options.output.with_name(options.output.name + ".checkpoint")
        checkpoint = Checkpoint(path, describe(options, pictures), options.save_every)
        names = ("correlation", "objectness")
        with ProgressBar("heads", options.schedule.steps, names) as bar:
            report = bar if members.is_main else None
            losses = train_heads(heads, made, options.schedule, checkpoint, members, report)
        return _finish(heads, losses, options, checkpoint, members)


def load_backbone(options: HeadOptions, device: torch.device) -> Backbone:
    """The frozen CLIP that the heads are for, loaded as the engine loads it."""
    spec = find_model(options.model)
    model = load_model(spec, options.weights, needs=frozenset({"clip"}), offline=options.offline)
    layer = options.thresholds.intermediate_layer
    clip = model.clip.to(device)
    return backbone_of(clip, layer, plain=True, statistics=model.statistics)  # under autocast


def start_heads(options: HeadOptions, width: int) -> DinoiserHeads:
    """Heads with random weights from the seed, or those of a file."""
    if options.start_from:
        return read_heads(options.start_from, width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return DinoiserHeads(width, options.channels)


def check_sizes(
    options: HeadOptions, processes: int, backbone: Backbone, teachers: Teachers
) -> None:
    """Refuse crops that are not made of whole patches or do not fit, and batches nobody can share.

    Raises:
        TrainingError: naming a size that would do.
    """
    crop = options.views.crop
    networks = (backbone, teachers.dino, teachers.found_dino)
    unit = math.lcm(*(network.patch_size for network in networks))
    if crop % unit:
        raise TrainingError(
            f"A crop of {crop} pixels is not made of whole patches of all networks: use a multiple "
            f"of {unit}, such as {max(1, round(crop / unit)) * unit}."
        )
    options.views.check()
    if options.batch % processes:
        raise TrainingError(
            f"A batch of {options.batch} cannot be shared equally by {processes} processes: use a "
            "multiple of their number."
        )


def describe(options: HeadOptions, pictures: Sequence[Path]) -> dict[str, object]:
    """Everything that the heads depend on, as JSON can write it."""
    return {
        "model": str(options.model),
        "weights": options.weights and str(options.weights),
        "start_from": options.start_from and str(options.start_from),
        "channels": options.channels,
        **asdict(options.thresholds),
        "teachers": asdict(options.teachers),
        "schedule": asdict(options.schedule),
        "batch": options.batch,
        "views": asdict(options.views),
        "seed": options.seed,
        "precision": options.precision,
        "pictures": {"count": len(pictures), "names": digest(options.pictures, list(pictures))},
    }


def batches(
    source: FolderBatches, teacher: HeadTeacher, options: HeadOptions
) -> Callable[[int], Iterator[HeadBatch]]:
    """Batches from a step on: pictures are read by processes aside, networks run in this one."""

    def batches_from(first: int) -> Iterator[HeadBatch]:
        steps, pinned = range(first, options.schedule.steps), teacher.backbone.device.type == "cuda"
        yield from map(teacher, source.read(steps, options.workers, pinned))

    return batches_from


def _finish(
    heads: DinoiserHeads,
    losses: list[Losses],
    options: HeadOptions,
    checkpoint: Checkpoint,
    members: Team,
) -> Path | None:
    """Write heads and record, then remove the checkpoint."""
    if not members.is_main:
        return None
    save_heads(heads, options.output, options.thresholds)
    correlation, objectness = zip(*losses, strict=True)
    record = {
        **checkpoint.settings,
        "processes": members.size,
        "device": members.device.type,
        "versions": {"torch": torch.__version__, "open_clip": open_clip.__version__},
        "losses": {"correlation": curve(correlation), "objectness": curve(objectness)},
    }
    write_record(options.output, record)
    checkpoint.path.unlink(missing_ok=True)
    return options.output


def run_command(arguments: argparse.Namespace) -> int:
    """`run` for parsed arguments, and one line about the result; returns the exit status."""
    try:
        written = run(HeadOptions.from_arguments(arguments))
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on where this one ended.", file=sys.stderr)
        return 130  # as a shell has it for an interrupt
    if written:
        print(f"{written} is trained; use it with --heads {written}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    try:
        return run_command(parser.parse_args(arguments))
    except (DinoiserError, TrainingError, OSError) as error:
        print(f"train_heads: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
