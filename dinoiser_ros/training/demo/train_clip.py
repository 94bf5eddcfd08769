# SPDX-License-Identifier: Apache-2.0
"""Training the demo's small CLIP.

Region captions go through the value path, whole crops through all of the network.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP, OPENAI_IMAGENET_TEMPLATES
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dinoiser_ros.segmentation.networks import vit
from dinoiser_ros.utils.atomic_files import atomic_write

from .region_captions import Phase, RegionBatch, contrast, make_batch, name_loss, window_positions
from .regions import CropSampler
from .vit import pooled_features, trunk

log = logging.getLogger(__name__)


# Small crops teach surfaces fast; larger ones show whole objects; the last ones are whole frames.
PHASES = (
    Phase(3200, 32, 12, 4, (10, 10), (0.75, 1.0, 1.0), 0.2),
    Phase(5600, 13, 36, 10, (16, 16), (0.75, 1.0), 0.3),
    Phase(5900, 5, 96, 24, (24, 32), (1.0,), 0.1),
)


@dataclass(frozen=True)
class ClipSchedule:
    """How the small CLIP is trained."""

    phases: tuple[Phase, ...] = PHASES
    lr: float = 1.5e-3
    lr_matrices: float = 4e-3
    weight_decay: float = 0.05
    warmup: int = 100
    decay_from: float = 0.6
    ema: float = 0.998
    whole_weight: float = 0.25
    scale_bounds: tuple[float, float] = (10.0, 30.0)

    @property
    def steps(self) -> int:
        """Length of the training."""
        return self.phases[-1].until

    def phase(self, step: int) -> Phase:
        """What a step belongs to."""
        return next(phase for phase in self.phases if step < phase.until)

    def rate(self, step: int) -> float:
        """What the learning rates are multiplied by.

        A linear warm-up, then constant, then linearly down to a fiftieth.
        """
        start = self.decay_from * self.steps
        down = 1 - 0.98 * max(0.0, step - start) / (self.steps - start)
        return min(1.0, (step + 1) / self.warmup) * down


def templates() -> tuple[str, ...]:
    """CLIP's 80 ImageNet templates as format strings (the prompts of the zero-shot classifier)."""
    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def build_clip(config: dict[str, Any]) -> CLIP:
    """A CLIP with random weights from an OpenCLIP config.

    Raises what open_clip raises for a bad one.
    """
    return CLIP(**config)


@dataclass
class StepBatches(Dataset[RegionBatch]):
    """The batch of each step, for a DataLoader.

    Each is drawn from a generator of its own, (seed, step), so that a resumed run sees what an
    unbroken one sees.
    """

    sampler: CropSampler
    schedule: ClipSchedule
    seed: int
    tokenise: SimpleTokenizer

    def __getitem__(self, step: int) -> RegionBatch:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, 3, step])
        return make_batch(self.sampler, rng, self.schedule.phase(step), templates(), self.tokenise)


def batch_loss(model: CLIP, batch: RegionBatch, phase: Phase, whole_weight: float) -> Tensor:
    """The contrast of images with texts.

    Box means of value-path features are contrasted with captions and names, pooled crops with
    captions.
    """
    vision = model.visual
    positions = window_positions(vision, batch.windows, phase.tokens)
    x = trunk(vision, vit.embed(vision, batch.images, positions))
    means = (batch.masks @ vit.dense_features(vision, x)).flatten(0, 1)
    regions = F.normalize(means.float(), dim=-1)
    embedded = F.normalize(model.encode_text(batch.tokens).float(), dim=-1)
    said = len(batch.captioned)
    captions, names = embedded[:said], embedded[said : said + len(batch.names)]
    scale = model.logit_scale.exp()
    loss = contrast(regions[batch.captioned], captions, batch.true, scale)
    loss = loss + name_loss(regions, names, batch.named, batch.visible, scale)
    if whole_weight == 0:
        return loss
    per_crop = batch.masks.shape[1]
    rows = (batch.captioned % per_crop == per_crop - 1).nonzero()[:, 0]
    crops = batch.captioned[rows] // per_crop
    pooled = F.normalize(pooled_features(vision, x).float(), dim=-1)[crops]
    whole = contrast(pooled, captions[rows], batch.true[rows][:, rows], scale)
    return loss + whole_weight * whole


def _optimisers(model: nn.Module, schedule: ClipSchedule) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the transformers, AdamW for everything else.

    From the same start, 300 steps with Muon brought the loss to where AdamW took more than twice
    as many.
    """
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError("training needs PyTorch 2.9 or newer (torch.optim.Muon)")
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and "resblocks" in n]
    others = [p for n, p in named if p.ndim != 2 or "resblocks" not in n]
    return [
        torch.optim.Muon(
            matrices,
            lr=schedule.lr_matrices,
            weight_decay=schedule.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=schedule.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the model's."""
    for a, p in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(p, 1 - decay)


@dataclass
class _State:
    model: CLIP
    average: CLIP
    optimisers: list[torch.optim.Optimizer]
    step: int
    losses: list[float]


def _start(config: dict[str, Any], schedule: ClipSchedule, seed: int, checkpoint: Path) -> _State:
    torch.manual_seed(seed)
    model = build_clip(config)
    average = copy.deepcopy(model).requires_grad_(False)
    state = _State(model, average, _optimisers(model, schedule), 0, [])
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        for optimiser, kept in zip(state.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        state.step, state.losses = saved["step"], saved["losses"]
    return state


def _save(state: _State, checkpoint: Path) -> None:
    content = {
        "model": state.model.state_dict(),
        "average": state.average.state_dict(),
        "step": state.step,
        "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
        "losses": state.losses,
    }
    with atomic_write(checkpoint) as part:
        torch.save(content, part)


def _step(state: _State, batch: RegionBatch, phase: Phase, schedule: ClipSchedule) -> float:
    rate = schedule.rate(state.step)
    for optimiser, lr in zip(state.optimisers, (schedule.lr_matrices, schedule.lr), strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * lr
    kernel = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.autocast("cpu", torch.bfloat16), kernel:
        loss = batch_loss(state.model, batch, phase, schedule.whole_weight)
        state.model.zero_grad(set_to_none=True)
        loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    for optimiser in state.optimisers:
        optimiser.step()
    with torch.no_grad():
        low, high = np.log(schedule.scale_bounds)
        state.model.logit_scale.clamp_(float(low), float(high))
    update_average(
        state.average, state.model, min(schedule.ema, (state.step + 1) / (state.step + 10))
    )
    return float(loss.detach())


def train_clip(
    config: dict[str, Any],
    sampler: CropSampler,
    schedule: ClipSchedule,
    seed: int,
    checkpoint: Path,
) -> CLIP:
    """Train, or go on from ``checkpoint``. Batches are made by a process of their own.

    Returns:
        The running average of the weights, float32.
    """
    state = _start(config, schedule, seed, checkpoint)
    tokenise = SimpleTokenizer(context_length=config["text_cfg"]["context_length"])
    batches = DataLoader(
        StepBatches(sampler, schedule, seed, tokenise),
        batch_size=None,
        sampler=range(state.step, schedule.steps),
        num_workers=1,
        prefetch_factor=4,
    )
    started = time.monotonic()
    for batch in batches:
        state.losses.append(_step(state, batch, schedule.phase(state.step), schedule))
        state.step += 1
        if state.step % 20 == 0:
            report = {
                "stage": "clip",
                "step": state.step,
                "loss": round(float(np.mean(state.losses[-20:])), 3),
                "scale": round(float(state.model.logit_scale.detach().exp()), 1),
                "seconds": round(time.monotonic() - started),
            }
            log.info(json.dumps(report))
        if state.step % 100 == 0 or state.step == schedule.steps:
            _save(state, checkpoint)
    return state.average
