# SPDX-License-Identifier: Apache-2.0
"""What a frame costs with each registered model, beside ViT-B/16: `make bench-models`.

Every model has seeded random weights, so that nothing is downloaded; its inference size, its best
method and random texts; the frame is 640x480. Model and ViT-B/16 are timed in turns, so that the
ratio is of use on a machine that does other things, too. Text towers are cut down: no text is read.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from engine.segmenters import HEAD_CHANNELS, random_image, random_vocabulary
from torch import nn

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.building import build_clip, build_siglip, read_config
from dinoiser_ros.segmentation.models.loading import LoadedModel
from dinoiser_ros.segmentation.models.registry import MODELS, ModelSpec, find_model
from dinoiser_ros.segmentation.networks.dinoiser_heads import DinoiserHeads
from dinoiser_ros.segmentation.networks.dinov2.tower import DinoV2Sizes, DinoV2Tower
from dinoiser_ros.segmentation.networks.dinov3.tower import DinoV3Tower
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel
from dinoiser_ros.segmentation.networks.register_tower import RegisterSizes
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip
from dinoiser_ros.utils.markdown import table

BASELINE = "vit-b-16"
# Those of one architecture take the same time: one of them is measured.
MEASURED = (
    BASELINE, "vit-b-16-openai", "vit-l-14", "vit-l-14-openai", "siglip-b-16", "talk2dino-b-14",
    "talk2dino-l-14", "talk2dino-b-16-dinov3", "talk2dino-l-16-dinov3",
)  # fmt: skip
_TEXT = {"layers": 1, "vocab_size": 64}
_DINO = {"b": (768, 12), "l": (1024, 24)}  # width and layers
_CLASSES = 5


def main() -> int:
    """Measure and print a table; returns the exit status."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, {options.precision}, load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    image = random_image(*options.size)
    baseline = seeded_segmenter(find_model(options.baseline), options.precision)
    rows = []
    for name in options.models:
        spec = find_model(name)
        own = baseline if name == options.baseline else seeded_segmenter(spec, options.precision)
        mine, other = _times([own, baseline], image, options.rounds)
        share = mine.processor / other.processor
        rows.append([
            name, own.method, f"{mine.passed:.2f} s", f"{mine.processor:.2f} s", f"{share:.2f}",
        ])  # fmt: skip
        print(name, mine, other, file=sys.stderr, flush=True)
    print(table(["model", "method", "time", "processor time", f"times {options.baseline}"], rows))
    return 0


class Cost(NamedTuple):
    """Medians of a frame: seconds that pass, and of all processors together."""

    passed: float
    processor: float


def _times(segmenters: Sequence[Segmenter], image: np.ndarray, rounds: int) -> list[Cost]:
    """The frame with each, in turns."""
    samples: list[list[Cost]] = [[] for _ in segmenters]
    for segmenter in segmenters:
        segmenter.set_options(inference_size=64)
        segmenter.segment(image)  # what is made at the first frame of all
        segmenter.set_options(inference_size=None)
    for _ in range(rounds):
        for segmenter, found in zip(segmenters, samples, strict=True):
            passed, processor = time.perf_counter(), time.process_time()
            segmenter.segment(image)
            found.append(Cost(time.perf_counter() - passed, time.process_time() - processor))
    return [Cost(*map(statistics.median, zip(*found, strict=True))) for found in samples]


def seeded_segmenter(spec: ModelSpec, precision: str) -> Segmenter:
    """A model with random weights, on the CPU, with random classes set."""
    torch.manual_seed(0)
    clip = _model(spec)
    method = spec.methods[0]
    heads = None
    if "heads" in METHODS[method].needs:
        heads = DinoiserHeads(clip.visual.conv1.out_channels, HEAD_CHANNELS)
    loaded = LoadedModel(clip, _NoTokenizer(), heads, statistics=spec.statistics)
    segmenter = Segmenter.from_model(
        loaded, spec, precision=precision, method=method,
        background_filter="auto" if heads or spec.is_talk2dino else "off",
    )  # fmt: skip
    segmenter.use(random_vocabulary(_CLASSES, segmenter.backbone.dim, segmenter.device))
    return segmenter


def _model(spec: ModelSpec) -> ClipModel:
    config = _small_text(read_config(spec.text_config or spec.config))
    if is_siglip(config):
        return build_siglip(config)
    clip = build_clip(config)[0]
    if spec.is_talk2dino:
        width, layers = _DINO[spec.name.split("-")[1]]
        tower: nn.Module
        if "dinov3" in spec.name:
            tower = DinoV3Tower(RegisterSizes(width, layers, spec.patch_size, 4, 4 * width))
        else:
            tower = DinoV2Tower(DinoV2Sizes(width, layers, spec.patch_size, 4, 4 * width, 37))
        clip.visual = _random(tower)
    return clip


def _small_text(config: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(config)
    config["text_cfg"] |= _TEXT
    return config


def _random(tower: nn.Module) -> nn.Module:
    for name, parameter in tower.named_parameters():
        if not name.endswith(("weight", "bias", "gamma")):
            nn.init.normal_(parameter, std=0.02)
    return tower


class _NoTokenizer:
    """Stands where a tokenizer is; texts of zeros."""

    context_length = 77

    def encode(self, text: str) -> list[int]:
        return [1]

    def __call__(self, texts: list[str]) -> torch.Tensor:
        return torch.zeros(len(texts), self.context_length, dtype=torch.long)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(height), int(width)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MEASURED, metavar="NAME")
    parser.add_argument("--baseline", choices=MODELS, default=BASELINE, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5, help="frames of each (%(default)s)")
    parser.add_argument("--size", type=_size, default=(480, 640), help="of the frame (640x480)")
    parser.add_argument("--precision", default="float32", help="%(default)s, or auto")
    parser.add_argument("--threads", type=int, help="of the CPU; by default all cores")
    return parser


if __name__ == "__main__":
    sys.exit(main())
