"""Training the demo's small CLIP: region captions through the value path, whole crops through all
of it.
"""

from __future__ import annotations

import copy
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP, OPENAI_IMAGENET_TEMPLATES
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from dinoiser_ros.training import vit
from dinoiser_ros.training.region_captions import (
    Phase,
    RegionBatch,
    contrast,
    make_batch,
    name_loss,
    window_positions,
)
from dinoiser_ros.training.regions import CropSampler

log = logging.getLogger(__name__)


# Small crops teach surfaces fast; larger ones show whole objects; the last ones are whole frames.
PHASES = (
    Phase(500, 32, 8, (12, 12), (0.75, 1.0, 1.0, 1.25)),
    Phase(900, 10, 48, (18, 18), (0.75, 1.0)),
    Phase(1200, 10, 48, (18, 18), (0.75, 1.0), names=1.0),
    Phase(1600, 32, 12, (10, 10), (0.75, 1.0, 1.0), names=1.0),
    Phase(2000, 32, 12, (10, 10), (0.75, 1.0, 1.0), names=1.0, lr=0.35),
    Phase(3100, 32, 12, (10, 10), (0.75, 1.0, 1.0), names=1.0, lr=0.35, recoloured=0.5),
    Phase(3300, 5, 96, (24, 32), (1.0, 1.25), names=1.0, lr=0.35, recoloured=0.4),
)


@dataclass(frozen=True)
class ClipSchedule:
    """How the small CLIP is trained."""

    phases: tuple[Phase, ...] = PHASES
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 100
    decay_from: float = 0.72
    ema: float = 0.998
    whole_weight: float = 0.25
    min_scale: tuple[float, float] = (14.0, 50.0)
    min_scale_rises: tuple[float, float] = (0.2, 0.7)
    max_scale: float = 100.0

    @property
    def steps(self) -> int:
        """Length of the training."""
        return self.phases[-1].until

    def phase(self, step: int) -> Phase:
        """What a step belongs to."""
        return next(phase for phase in self.phases if step < phase.until)

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, constant, linear to a fiftieth."""
        start = self.decay_from * self.steps
        down = 1 - 0.98 * max(0.0, step - start) / (self.steps - start)
        return self.lr * self.phase(step).lr * min(1.0, (step + 1) / self.warmup) * down

    def scale_bounds(self, step: int) -> tuple[float, float]:
        """Bounds of the logit scale. The lower one rises, towards the 100 that segmentation
        multiplies cosines by.
        """
        begin, end = self.min_scale_rises
        progress = min(max((step / self.steps - begin) / (end - begin), 0.0), 1.0)
        return self.min_scale[0] + progress * (
            self.min_scale[1] - self.min_scale[0]
        ), self.max_scale


def templates() -> tuple[str, ...]:
    """CLIP's 80 ImageNet templates as format strings (the prompts of the zero-shot classifier)."""
    return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)


def build_clip(config: dict) -> CLIP:
    """A CLIP with random weights from an OpenCLIP config; raises what open_clip raises for a bad
    one.
    """
    return CLIP(**config)


class Texts:
    """Tokenises captions, each sentence once."""

    def __init__(self, context_length: int) -> None:
        self._tokenizer = SimpleTokenizer(context_length=context_length)
        self._known: dict[str, Tensor] = {}

    def __call__(self, sentences: list[str]) -> Tensor:
        """(number of sentences, context length) int64."""
        for sentence in sentences:
            if sentence not in self._known:
                self._known[sentence] = self._tokenizer([sentence])[0]
        return torch.stack([self._known[sentence] for sentence in sentences])


def batch_loss(
    model: CLIP, batch: RegionBatch, texts: Texts, phase: Phase, whole_weight: float
) -> Tensor:
    """Contrast box means of value-path features, and pooled crops, with their captions.

    With ``phase.names``, boxes are also contrasted with the bare names of all classes: among
    captions full of colours and floors, the nouns of objects are told apart only very slowly.
    """
    vision = model.visual
    positions = window_positions(vision, batch.windows, phase.tokens)
    x = vit.trunk(vision, vit.embed(vision, batch.images, positions))
    means = (batch.masks @ vit.dense_features(vision, x)).flatten(0, 1)
    # Every caption is encoded, also empty and repeated ones: inputs of one shape keep oneDNN's
    # caches small.
    sentences = [caption.text for caption in batch.captions] + batch.names
    embedded = F.normalize(model.encode_text(texts(sentences)).float(), dim=-1)
    embedded, names = embedded[: len(batch.captions)], embedded[len(batch.captions) :]
    keep = batch.valid.nonzero()[:, 0]
    regions, embedded = F.normalize(means[keep].float(), dim=-1), embedded[keep]
    scale = model.logit_scale.exp()
    true = batch.true[keep][:, keep]
    loss = contrast(regions, embedded, true, scale)
    if phase.names:
        loss = loss + phase.names * name_loss(
            regions, names, batch.dominant[keep], batch.visible[keep], scale
        )
    if whole_weight == 0:
        return loss
    per_crop = batch.masks.shape[1]
    rows = (keep % per_crop == per_crop - 1).nonzero()[:, 0]
    pooled = F.normalize(vit.pooled_features(vision, x).float(), dim=-1)[keep[rows] // per_crop]
    whole = contrast(pooled, embedded[rows], true[rows][:, rows], scale)
    return loss + whole_weight * whole


def _optimiser(model: nn.Module, schedule: ClipSchedule) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, and not on embeddings, most of whose rows are never
    used.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decayed = [p for n, p in named if p.ndim > 1 and "embedding" not in n]
    others = [p for n, p in named if p.ndim <= 1 or "embedding" in n]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": schedule.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=schedule.lr,
        betas=(0.9, 0.98),
        fused=True,
    )


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the model's."""
    for a, p in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(p, 1 - decay)


@dataclass
class _State:
    model: CLIP
    average: CLIP
    optimiser: torch.optim.AdamW
    step: int
    losses: list[float]


def _start(config: dict, schedule: ClipSchedule, seed: int, checkpoint: Path) -> _State:
    torch.manual_seed(seed)
    model = build_clip(config)
    average = copy.deepcopy(model).requires_grad_(False)
    state = _State(model, average, _optimiser(model, schedule), 0, [])
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
        for group in state.optimiser.param_groups:
            group["fused"] = True
        state.step, state.losses = saved["step"], saved["losses"]
    return state


def _save(state: _State, checkpoint: Path) -> None:
    part = checkpoint.with_suffix(".part")
    torch.save(
        {
            "model": state.model.state_dict(),
            "average": state.average.state_dict(),
            "step": state.step,
            "optimiser": state.optimiser.state_dict(),
            "losses": state.losses,
        },
        part,
    )
    part.replace(checkpoint)


def _step(
    state: _State, batch: RegionBatch, texts: Texts, phase: Phase, schedule: ClipSchedule
) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = schedule.rate(state.step)
    kernel = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.autocast("cpu", torch.bfloat16), kernel:
        loss = batch_loss(state.model, batch, texts, phase, schedule.whole_weight)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimiser.step()
    with torch.no_grad():
        low, high = np.log(schedule.scale_bounds(state.step))
        state.model.logit_scale.clamp_(float(low), float(high))
    update_average(
        state.average, state.model, min(schedule.ema, (state.step + 1) / (state.step + 10))
    )
    return float(loss.detach())


def train_clip(
    config: dict, sampler: CropSampler, schedule: ClipSchedule, seed: int, checkpoint: Path
) -> CLIP:
    """Train, or go on from ``checkpoint``.

    Each step draws from a generator of its own (seed, step), so that a resumed run sees what an
    unbroken one sees.

    Returns:
        The running average of the weights, float32.
    """
    state = _start(config, schedule, seed, checkpoint)
    texts, prompts = Texts(config["text_cfg"]["context_length"]), templates()
    started = time.monotonic()
    while state.step < schedule.steps:
        phase = schedule.phase(state.step)
        rng = np.random.default_rng([seed, 3, state.step])
        batch = make_batch(sampler, rng, phase, prompts)
        state.losses.append(_step(state, batch, texts, phase, schedule))
        state.step += 1
        if state.step % 20 == 0:
            log.info(
                json.dumps(
                    {
                        "stage": "clip",
                        "step": state.step,
                        "loss": round(float(np.mean(state.losses[-20:])), 3),
                        "scale": round(float(state.model.logit_scale.detach().exp()), 1),
                        "seconds": round(time.monotonic() - started),
                    }
                )
            )
        if state.step % 100 == 0 or state.step == schedule.steps:
            _save(state, checkpoint)
    return state.average
