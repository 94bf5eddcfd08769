# SPDX-License-Identifier: Apache-2.0
"""Builds the embedded checkpoint of `maskclip+` from the embedded model.

Run ``python -m dinoiser_ros.training.demo.build_maskclip_plus``.

Stages, each kept in the work folder and gone on with after a break: the frames of the training
split, `dinoiser`'s labels for every other one of them, the network. Nothing is chosen here; the
held-out frames are not looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.training.common.progress_bar import ProgressBar
from dinoiser_ros.training.common.run_state import Checkpoint
from dinoiser_ros.training.maskclip_plus.checkpoint_file import save_closed_set
from dinoiser_ros.training.maskclip_plus.pseudo_labels import IGNORED, teacher_labels
from dinoiser_ros.training.maskclip_plus.trainer import LOSSES, Batch, PlusSchedule, PlusTrainer
from dinoiser_ros.training.train_maskclip_plus import record
from dinoiser_ros.utils.number_types import count

from .frame_store import HEIGHT, open_split, render_split
from .region_captions import jitter
from .splits import demo_splits

# Resolved: an installed package may consist of links to its sources.
MODELS = Path(__file__).resolve().parents[2] / "segmentation" / "models" / "data"
OUTPUT = MODELS / "demo_maskclip_plus.safetensors"
HEAD, BACKBONE = "lraspp", "mobilenet_v3_large"
BATCH, LABEL_EVERY = 16, 2
SCHEDULE = PlusSchedule(2000, 300, lr=2e-3, threshold=0.7)
_UNSURE = 255  # `IGNORED` in the labels' file
_AT_ONCE = 50  # frames between two notes of how far the labels are


@dataclass(frozen=True)
class LabelledFrames:
    """Rendered frames, every `LABEL_EVERY`-th of them labelled by the teacher.

    Batches are drawn from (seed, step), so that a resumed run sees what an unbroken one sees.

    Attributes:
        rgb: (N, H, W, 3) uint8.
        labels: (M, H, W) uint8 of the labelled ones, 255 where unsure.
    """

    rgb: np.ndarray
    labels: np.ndarray
    schedule: PlusSchedule
    seed: int

    def batches_from(self, first: int) -> Iterator[Batch]:
        """Batches from a step on; those of the second phase come from all frames."""
        for step in range(first, self.schedule.total):
            rng = np.random.default_rng([self.seed, 10, step])
            if step < self.schedule.steps:
                chosen = np.sort(rng.choice(len(self.labels), BATCH, replace=False))
                labels = torch.from_numpy(self.labels[chosen]).long()
                labels[labels == _UNSURE] = IGNORED
                yield _augmented(rng, self.rgb[chosen * LABEL_EVERY], labels)
            else:
                chosen = np.sort(rng.choice(len(self.rgb), BATCH, replace=False))
                yield _augmented(rng, self.rgb[chosen], None)


def _augmented(rng: np.random.Generator, frames: np.ndarray, labels: Tensor | None) -> Batch:
    """Half of the batches mirrored, all in changing light."""
    rgb = torch.from_numpy(frames)
    if rng.random() < 0.5:
        rgb, labels = rgb.flip(2), labels if labels is None else labels.flip(2)
    return jitter(rng, rgb), labels


def label_frames(teacher: Segmenter, rgb: np.ndarray, folder: Path) -> np.ndarray:
    """The teacher's labels of frames, as far as the folder lacks them: (M, H, W) uint8."""
    path, note = folder / "labels.npy", folder / "labels.json"
    done = json.loads(note.read_text())["done"] if note.exists() else 0
    labels = np.lib.format.open_memmap(
        path, "r+" if done else "w+", None if done else np.uint8, None if done else rgb.shape[:3]
    )
    while done < len(rgb):
        for index in range(done, min(done + _AT_ONCE, len(rgb))):
            found = teacher_labels(teacher, torch.from_numpy(rgb[index : index + 1]))[0]
            labels[index] = found.masked_fill(found == IGNORED, _UNSURE).numpy()
        done = min(done + _AT_ONCE, len(rgb))
        labels.flush()
        note.write_text(json.dumps({"done": done}))
        print(f"{done} of {len(rgb)} frames are labelled", file=sys.stderr)
    return labels


def run(seed: int, work: Path, output: Path, schedule: PlusSchedule = SCHEDULE) -> None:
    """All stages."""
    split = demo_splits(seed)["train"]
    render_split(split, work / "frames" / "train")
    rgb = open_split(split, work / "frames" / "train").rgb
    teacher = Segmenter(
        "demo",
        device="cpu",
        precision="float32",
        confidence_threshold=schedule.threshold,
        inference_size=0,
    )
    teacher.set_prompts(list(CLASSES))
    labels = label_frames(teacher, rgb[::LABEL_EVERY], work)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EmbeddingNetwork(HEAD, BACKBONE, teacher.vocabulary.embeddings.shape[1])
    network.to(memory_format=torch.channels_last)
    settings = {
        "teacher": {"model": "demo", **asdict(teacher.options)},
        "frames": {"split": split.name, "all": len(rgb), "labelled": len(labels)},
        "schedule": asdict(schedule),
        "batch": BATCH,
        "seed": seed,
    }
    frames = LabelledFrames(rgb, labels, schedule, seed)
    trainer = PlusTrainer(network, teacher.vocabulary, schedule, seed)
    checkpoint = Checkpoint(work / "maskclip_plus.checkpoint", settings)
    with ProgressBar("maskclip+", schedule.total, LOSSES) as bar:
        losses = trainer.train(frames.batches_from, checkpoint, bar)
    save = partial(save_closed_set, network, teacher.vocabulary, HEIGHT, record(settings, losses))
    save(output, dtype=torch.float16)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=count, default=0)
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo-model"))
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="(into the package)")
    options = parser.parse_args(arguments)
    run(options.seed, options.work_dir, options.output)


if __name__ == "__main__":
    main()
