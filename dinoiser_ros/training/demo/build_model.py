# SPDX-License-Identifier: Apache-2.0
"""Builds the embedded model from a seed: ``python -m dinoiser_ros.training.demo.build_model``.

Stages, each kept in the work folder and not repeated: frames, clip, dino, heads. Then gamma and
delta are chosen on validation scenes, the held-out scenes are scored once, and the files are
written.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from dinoiser_ros.evaluation.heldout import score_method
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, VisionTower
from dinoiser_ros.sim.classes import CLASSES, COLOUR_NAMES
from dinoiser_ros.sim.frames import LabelledFrame, read_frames, write_frames
from dinoiser_ros.training.common.run_state import Checkpoint, Losses
from dinoiser_ros.training.heads.files import Thresholds, curve, save_heads
from dinoiser_ros.training.heads.found import seed_foreground
from dinoiser_ros.training.heads.schedule import HeadSchedule
from dinoiser_ros.training.heads.teacher import HeadTeacher, Teachers
from dinoiser_ros.training.heads.trainer import train_heads
from dinoiser_ros.utils.number_types import count, positive

from .frame_batches import FrameBatches
from .frame_store import NO_COLOUR, FrameStore, open_split, render_split
from .regions import CropSampler
from .splits import demo_splits
from .threshold_selection import select
from .train_clip import ClipSchedule, train_clip
from .train_dino import DinoSchedule, train_dino

log = logging.getLogger(__name__)
MODELS = Path(__file__).resolve().parents[2] / "segmentation" / "models" / "data"
HEAD_CHANNELS, HEAD_BATCH = 64, 8
THRESHOLDS = Thresholds()  # until better ones are chosen


@dataclass(frozen=True)
class Build:
    """What is built from what, and where."""

    seed: int
    work: Path
    models: Path
    heldout: Path
    clip: ClipSchedule
    dino: DinoSchedule
    heads: HeadSchedule

    def config(self, name: str) -> dict[str, Any]:
        """One of the two OpenCLIP configs in the package."""
        values: dict[str, Any] = json.loads((MODELS / f"{name}.json").read_text())
        return values


def render(build: Build) -> dict[str, FrameStore]:
    """Render all three splits; each is opened read-only."""
    stores = {}
    for name, split in demo_splits(build.seed).items():
        folder = build.work / "frames" / name
        render_split(split, folder)
        stores[name] = open_split(split, folder)
    return stores


def heldout_frames(store: FrameStore, build: Build) -> list[LabelledFrame]:
    """The held-out split as frames with the names of what they show."""
    split, frames = demo_splits(build.seed)["heldout"], []
    for index in range(len(store.rgb)):
        instances = np.array(store.instances[index])
        things = {}
        for thing in np.unique(instances[instances != 255]):
            colour = store.colours[index, thing]
            things[int(thing)] = (
                CLASSES[store.classes[index, thing]],
                None if colour == NO_COLOUR else COLOUR_NAMES[colour],
            )
        frames.append(
            LabelledFrame(
                f"{index:04d}",
                np.array(store.rgb[index]),
                store.labels(index),
                instances,
                things,
                split.first_seed + index // split.views,
            )
        )
    return frames


def half(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's weights in half precision, ready to be saved."""
    return {name: value.detach().half().contiguous() for name, value in module.state_dict().items()}


def train_demo_heads(
    build: Build, clip: ClipModel, dino: VisionTower, store: FrameStore
) -> tuple[DinoiserHeads, list[Losses]]:
    """Train g and h on the training frames, unless done; returns them and the losses."""
    torch.manual_seed(build.seed + 2)
    heads = DinoiserHeads(clip.visual.conv1.out_channels, HEAD_CHANNELS)
    tower = DinoTower(dino)
    teacher = HeadTeacher(
        Backbone(clip.visual, THRESHOLDS.intermediate_layer, plain=True),
        Teachers(tower, tower, seed_foreground),
        torch.bfloat16,
    )
    frames = FrameBatches(store.rgb, HEAD_BATCH, build.seed)
    settings = {"seed": build.seed, "batch": HEAD_BATCH, "schedule": asdict(build.heads)}
    losses = train_heads(
        heads,
        lambda first: (teacher(frames[step]) for step in range(first, build.heads.steps)),
        build.heads,
        Checkpoint(build.work / "heads.pt", settings),
        report=log_heads,
    )
    return heads, losses


def log_heads(step: int, losses: Losses) -> None:
    """A line in the log every 50 steps."""
    if step % 50 == 0:
        correlation, objectness = (round(x, 4) for x in losses)
        line = {"stage": "heads", "step": step, "correlation": correlation}
        log.info(json.dumps({**line, "objectness": objectness}))


def choose_thresholds(build: Build, store: FrameStore) -> dict[str, Any]:
    """Select on the validation split with the files as written so far."""
    from dinoiser_ros.segmentation import Segmenter

    segmenter = Segmenter(
        model=MODELS / "demo.json",
        weights=build.models / "demo.safetensors",
        heads=build.models / "demo_heads.safetensors",
        device="cpu",
        precision="float32",
        inference_size=0,
    )
    return select(segmenter, store)


def run(build: Build) -> dict[str, object]:
    """All stages; returns the record that is also written beside the weights."""
    started = time.monotonic()
    build.work.mkdir(parents=True, exist_ok=True)
    stores = render(build)
    clip_path, dino_path = build.work / "clip.pt", build.work / "dino.pt"
    clip = train_clip(
        build.config("demo"), CropSampler(stores["train"]), build.clip, build.seed, clip_path
    ).eval()
    dino = train_dino(
        build.config("demo_dino"), stores["train"].rgb, build.dino, build.seed, dino_path
    )
    heads, head_losses = train_demo_heads(build, clip, dino, stores["train"])
    save_file(half(clip), build.models / "demo.safetensors")
    save_file(half(dino), build.models / "demo_dino.safetensors")
    heads_path = build.models / "demo_heads.safetensors"
    save_heads(heads, heads_path, THRESHOLDS, torch.float16)
    chosen = choose_thresholds(build, stores["validation"])
    best = replace(THRESHOLDS, gamma=chosen["gamma"], delta=chosen["delta"])
    save_heads(heads, heads_path, best, torch.float16)
    write_frames(
        build.heldout,
        heldout_frames(stores["heldout"], build),
        f"simulated frames of python -m dinoiser_ros.training.demo.build_model --seed {build.seed}",
    )
    record = {
        "seed": build.seed,
        "frames": {name: split.frames for name, split in demo_splits(build.seed).items()},
        "schedules": {name: asdict(getattr(build, name)) for name in ("clip", "dino", "heads")},
        "losses": {
            "clip": curve(torch.load(clip_path, weights_only=True)["losses"]),
            "dino": curve(torch.load(dino_path, weights_only=True)["losses"]),
            "heads": curve([sum(losses) for losses in head_losses]),
        },
        "validation": chosen,
        "heldout": evaluate_heldout(build),
        "seconds of this run": round(time.monotonic() - started),
    }
    (build.models / "demo_training.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def evaluate_heldout(build: Build) -> dict[str, dict[str, float]]:
    """The headline numbers of both methods with the files just written."""
    frames = list(read_frames(build.heldout))
    files = {
        "weights": build.models / "demo.safetensors",
        "heads": build.models / "demo_heads.safetensors",
    }
    return {
        method: {
            key: round(value, 4)
            for key, value in score_method(method, frames, str(MODELS / "demo.json"), **files)
            .row()
            .items()
        }
        for method in ("maskclip", "dinoiser")
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=count, default=0)
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo-model"))
    parser.add_argument(
        "--models", type=Path, default=MODELS, help="where weights go (default: into the package)"
    )
    parser.add_argument("--heldout", type=Path, default=Path("data/heldout"))
    parser.add_argument("--dino-steps", type=positive, default=DinoSchedule.steps)
    parser.add_argument("--head-steps", type=positive, default=200)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    heads = HeadSchedule(
        steps=options.head_steps,
        lr_projection=1e-3,
        lr_objectness=1e-2,
        drop_after=max(1, options.head_steps * 5 // 6),
        dino_threshold=0.85,
    )
    record = run(
        Build(
            options.seed,
            options.work_dir,
            options.models,
            options.heldout,
            ClipSchedule(),
            DinoSchedule(steps=options.dino_steps),
            heads,
        )
    )
    print(json.dumps({"validation": record["validation"], "heldout": record["heldout"]}, indent=1))


if __name__ == "__main__":
    main()
