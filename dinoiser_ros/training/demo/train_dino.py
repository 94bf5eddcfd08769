# SPDX-License-Identifier: Apache-2.0
"""A small DINO: self-distillation without labels (arXiv 2104.14294) on simulated frames."""

from __future__ import annotations

import copy
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.dino import MEAN, STD, embedded
from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower, residual_blocks
from dinoiser_ros.segmentation.networks.vit import run_blocks

from .regions import resize
from .train_clip import build_clip, update_average
from .vit import normalised

log = logging.getLogger(__name__)
Rng = np.random.Generator


@dataclass(frozen=True)
class DinoSchedule:
    """DINO's recipe at the demo's scale."""

    steps: int = 280
    frames: int = 24
    global_size: int = 96
    local_size: int = 48
    local_crops: int = 4
    prototypes: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 50
    teacher_momentum: float = 0.99
    student_temperature: float = 0.1
    teacher_temperature: float = 0.05


class Projection(nn.Module):
    """DINO's head: a small MLP, a bottleneck on the sphere, prototypes of unit length.

    The batch normalisation in front makes the little by which images differ in an untrained
    network big enough to start from; without it all images keep getting the same answer.
    """

    def __init__(
        self, width: int, prototypes: int, hidden: int = 256, bottleneck: int = 64
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.BatchNorm1d(width, affine=False, track_running_stats=False),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) to (B, prototypes) cosines."""
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


def build_dino(config: dict[str, Any]) -> VisionTower:
    """The vision tower of an OpenCLIP config, with random weights."""
    vision: VisionTower = build_clip(config).visual
    return vision


def image_feature(vision: VisionTower, images: Tensor) -> Tensor:
    """(B, 3, H, W) normalised images to (B, 2 width): CLS output and mean of the patches' outputs.

    DINO distils CLS alone. So small a network starts with nearly the same CLS for every image; the
    patches' mean differs from the first step on.
    """
    blocks = residual_blocks(vision.transformer)
    x = vision.ln_post(run_blocks(blocks, embedded(vision, images)))
    return torch.cat([x[:, 0], x[:, 1:].mean(dim=1)], dim=-1)


def augment(rng: Rng, frame: np.ndarray, size: int, scale: tuple[float, float]) -> Tensor:
    """A random square crop of a frame, resized to ``size``, flipped and recoloured; uint8.

    Its side is a share of the frame's height within ``scale``.
    """
    height, width = frame.shape[:2]
    side = int(height * rng.uniform(*scale))
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    crop = resize(torch.from_numpy(frame[y : y + side, x : x + side].copy()), (size, size))
    if rng.random() < 0.5:
        crop = crop.flip(1)
    value = crop.float() / 255
    if rng.random() < 0.8:
        mean = value.mean()
        value = (value * rng.uniform(0.7, 1.3) - mean) * rng.uniform(0.7, 1.3) + mean
        grey = value.mean(dim=-1, keepdim=True)
        value = (value - grey) * rng.uniform(0.6, 1.4) + grey
        value = value * torch.from_numpy(rng.uniform(0.9, 1.1, 3)).float()
    return (value.clamp(0, 1) * 255).to(torch.uint8)


def assignments(outputs: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """The teacher's targets: softmax, centred over the batch by Sinkhorn-Knopp.

    That is DINOv2's way (arXiv 2304.07193). DINO's running centre lags behind at this batch size,
    and training swings between its two kinds of collapse.

    Args:
        outputs: (B, prototypes) cosines of one batch.

    Returns:
        (B, prototypes); rows sum to 1, prototypes are used about equally often.
    """
    p = ((outputs - outputs.max()) / temperature).exp()
    for _ in range(iterations):
        p = p / p.sum(dim=0, keepdim=True).clamp(min=1e-12)
        p = p / p.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return p


def distillation_loss(student: list[Tensor], targets: list[Tensor], temperature: float) -> Tensor:
    """Cross-entropy from each teacher view to every other student view (DINO, equation 2).

    Args:
        student: outputs (B, prototypes) of all crops, the global ones first.
        targets: the teacher's assignments (B, prototypes) for the global crops.
        temperature: the student's.
    """
    terms = [
        -(target * (output / temperature).log_softmax(dim=-1)).sum(dim=-1).mean()
        for i, target in enumerate(targets)
        for j, output in enumerate(student)
        if i != j
    ]
    return torch.stack(terms).mean()


def _crops(frames: np.ndarray, rng: Rng, schedule: DinoSchedule) -> tuple[Tensor, Tensor]:
    """Global (2 B, 3, S, S) and local (local_crops B, 3, s, s) crops, crop-major."""
    large = [
        augment(rng, frame, schedule.global_size, (0.4, 0.9)) for _ in range(2) for frame in frames
    ]
    small = [
        augment(rng, frame, schedule.local_size, (0.15, 0.4))
        for _ in range(schedule.local_crops)
        for frame in frames
    ]
    large_pixels, small_pixels = (normalised(torch.stack(x), MEAN, STD) for x in (large, small))
    return large_pixels, small_pixels


def train_dino(
    config: dict[str, Any], frames: np.ndarray, schedule: DinoSchedule, seed: int, checkpoint: Path
) -> VisionTower:
    """Train on frames (N, H, W, 3) uint8, unless ``checkpoint`` holds the result.

    Returns:
        The teacher's tower.
    """
    torch.manual_seed(seed + 1)
    student = build_dino(config).requires_grad_(True)
    student.proj.requires_grad_(False)
    student.positional_embedding.requires_grad_(False)
    if checkpoint.exists():
        student.load_state_dict(torch.load(checkpoint, weights_only=True)["teacher"])
        return student.requires_grad_(False).eval()
    pair = nn.ModuleList([student, Projection(2 * student.conv1.out_channels, schedule.prototypes)])
    teacher = copy.deepcopy(pair).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [p for p in pair.parameters() if p.requires_grad],
        lr=schedule.lr,
        weight_decay=schedule.weight_decay,
    )
    losses, started = [], time.monotonic()
    for step in range(schedule.steps):
        rng = np.random.default_rng([seed, 4, step])
        chosen = frames[np.sort(rng.choice(len(frames), schedule.frames, replace=False))]
        losses.append(
            _step(pair, teacher, optimiser, _crops(chosen, rng, schedule), step, schedule)
        )
        if (step + 1) % 20 == 0:
            log.info(
                json.dumps(
                    {
                        "stage": "dino",
                        "step": step + 1,
                        "loss": round(float(np.mean(losses[-20:])), 3),
                        "seconds": round(time.monotonic() - started),
                    }
                )
            )
    torch.save({"teacher": teacher[0].state_dict(), "losses": losses}, checkpoint)
    return _tower(teacher).eval()


def _tower(pair: nn.ModuleList) -> VisionTower:
    """The network of a pair of network and projection."""
    return cast("VisionTower", pair[0])  # a ModuleList forgets what its modules are


def _step(
    pair: nn.ModuleList,
    teacher: nn.ModuleList,
    optimiser: torch.optim.Optimizer,
    crops: tuple[Tensor, Tensor],
    step: int,
    schedule: DinoSchedule,
) -> float:
    """One update of student and teacher; returns the loss."""
    progress = step / schedule.steps
    for group in optimiser.param_groups:
        cosine = 0.5 * (1 + np.cos(np.pi * progress))
        group["lr"] = (
            schedule.lr * min(1.0, (step + 1) / schedule.warmup) * max(float(cosine), 0.02)
        )
    large, small = crops
    kernel = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.autocast("cpu", torch.bfloat16), kernel:
        with torch.no_grad():
            target = teacher[1](image_feature(_tower(teacher), large)).float()
        outputs = [pair[1](image_feature(_tower(pair), x)).float() for x in (large, small)]
    views = [*outputs[0].chunk(2), *outputs[1].chunk(schedule.local_crops)]
    targets = assignments(target, schedule.teacher_temperature).chunk(2)
    loss = distillation_loss(views, list(targets), schedule.student_temperature)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(pair.parameters(), 3.0)
    optimiser.step()
    momentum = 1 - (1 - schedule.teacher_momentum) * 0.5 * (1 + np.cos(np.pi * progress))
    update_average(teacher, pair, min(float(momentum), (step + 1) / (step + 10)))
    return float(loss.detach())
