# SPDX-License-Identifier: Apache-2.0
"""Train MaskCLIP+ (arXiv 2112.01071, section 3.3): a fast network for a fixed list of classes.

From a folder of pictures without labels: any method of this project labels them, a segmentation
network learns that, and then goes on with its own labels. A run that was broken off goes on when it
is started again with the same arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
import torchvision

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.training.common.image_folder import (
    FolderBatches,
    at_random,
    digest,
    find_pictures,
)
from dinoiser_ros.training.common.progress_bar import ProgressBar
from dinoiser_ros.training.common.run_state import Checkpoint, Losses
from dinoiser_ros.training.heads.files import curve
from dinoiser_ros.training.maskclip_plus.checkpoint_file import save_closed_set
from dinoiser_ros.training.maskclip_plus.labelled_folder import (
    LabelledBatches,
    has_labels,
    labelled_pictures,
    read_record,
    split,
)
from dinoiser_ros.training.maskclip_plus.options import PlusOptions, load_teacher
from dinoiser_ros.training.maskclip_plus.pretrained_backbone import load_pretrained_backbone
from dinoiser_ros.training.maskclip_plus.pseudo_labels import teacher_labels
from dinoiser_ros.training.maskclip_plus.trainer import LOSSES, Batch, PlusTrainer


def run(options: PlusOptions, teacher: Segmenter) -> Path:
    """Train, or go on training, and write the checkpoint.

    Args:
        teacher: its prompts and confidence threshold are set.

    Raises:
        TrainingError, DinoiserError: one sentence that says what is wrong and what to do.
    """
    options.check()
    pictures = _pictures(options)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    network = start_network(options, teacher)
    trainer = PlusTrainer(
        network,
        teacher.vocabulary,
        options.schedule,
        options.seed,
        options.training_precision(teacher.device),
    )
    kind = LabelledBatches if has_labels(options.pictures) else FolderBatches
    source = kind(pictures, options.views, options.batch, options.seed)
    path = options.output.with_name(options.output.name + ".checkpoint")
    checkpoint = Checkpoint(path, describe(options, teacher, pictures), options.save_every)
    with ProgressBar("maskclip+", options.schedule.total, LOSSES) as bar:
        losses = trainer.train(partial(batches, source, teacher, options), checkpoint, bar)
    save_closed_set(
        network,
        teacher.vocabulary,
        options.views.shorter_side,
        record(checkpoint.settings, losses),
        options.output,
    )
    path.unlink(missing_ok=True)
    return options.output


def _pictures(options: PlusOptions) -> list[Path]:
    if has_labels(options.pictures):
        found = labelled_pictures(options.pictures)
        return at_random(found, options.max_pictures, options.seed)
    return find_pictures(options.pictures, options.max_pictures, options.seed)


def start_network(options: PlusOptions, teacher: Segmenter) -> EmbeddingNetwork:
    """A network with random weights from the seed, its backbone's from a file if there is one."""
    dim = teacher.vocabulary.embeddings.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = EmbeddingNetwork(options.head, options.backbone, dim)
    if options.pretrained_backbone:
        load_pretrained_backbone(network, options.pretrained_backbone, options.offline)
    return network.to(teacher.device).to(memory_format=torch.channels_last)


def batches(
    source: FolderBatches, teacher: Segmenter, options: PlusOptions, first: int
) -> Iterator[Batch]:
    """Views from a step on, those of the first phase with the teacher's labels.

    Those of a `LabelledBatches` are known; else the teacher gives them now.
    """
    steps = range(first, options.schedule.total)
    views = source.read(steps, options.workers, pinned=teacher.device.type == "cuda")
    for step, view in zip(steps, views, strict=True):
        is_taught = step < options.schedule.steps
        if isinstance(source, LabelledBatches):
            rgb, labels = split(view)
            yield rgb, labels if is_taught else None
        else:
            yield view, teacher_labels(teacher, view) if is_taught else None


def describe(
    options: PlusOptions, teacher: Segmenter, pictures: Sequence[Path]
) -> dict[str, object]:
    """Everything that the network depends on, as JSON can write it."""
    return {
        "teacher": {
            "model": teacher.model_name,
            **asdict(teacher.options),
        },
        "prompts": list(teacher.vocabulary.prompts),
        "head": options.head,
        "backbone": options.backbone,
        "pretrained_backbone": options.pretrained_backbone,
        "schedule": asdict(options.schedule),
        "views": asdict(options.views),
        "batch": options.batch,
        "seed": options.seed,
        "precision": options.precision,
        "pictures": {"count": len(pictures), "names": digest(options.pictures, list(pictures))},
        **({"labels": _origin(options.pictures)} if has_labels(options.pictures) else {}),
    }


def _origin(labelled: Path) -> dict[str, object]:
    """Where the labels of a folder come from; its inputs are among the names of the pictures."""
    return {key: value for key, value in read_record(labelled).items() if key != "inputs"}


def record(settings: dict[str, object], losses: Sequence[Losses]) -> dict[str, object]:
    """What a network was trained with and how that went, for people."""
    curves = {name: curve([values[i] for values in losses]) for i, name in enumerate(LOSSES)}
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    return {**settings, "losses": curves, "versions": versions}


def run_command(arguments: argparse.Namespace) -> int:
    """`run` for parsed arguments, and one line about the result; returns the exit status."""
    try:
        teacher = load_teacher(arguments)
        options = PlusOptions.from_arguments(arguments, teacher.default_inference_size)
        written = run(options, teacher)
    except KeyboardInterrupt:
        print("Interrupted: the same command goes on where this one ended.", file=sys.stderr)
        return 130  # as a shell has it for an interrupt
    print(f"{written} is trained; use it with --method maskclip+ --model {written}")
    return 0
