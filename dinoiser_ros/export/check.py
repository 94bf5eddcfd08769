# SPDX-License-Identifier: Apache-2.0
"""Whether a file computes what the segmenter that it was written from does."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from dinoiser_ros.segmentation import Segmenter, Vocabulary
from dinoiser_ros.segmentation.inference.forward import cells
from dinoiser_ros.segmentation.methods.inputs import MethodInputs
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.networks.clip_backbone import DenseFeatures
from dinoiser_ros.segmentation.options import method_options
from dinoiser_ros.segmentation.pixels.postprocess import upsample
from dinoiser_ros.segmentation.pixels.preprocess import to_batch

from .prompts import prompt_arrays

TOLERANCE = 1e-3  # of probabilities
# How far from a threshold rounding may still decide on which side a value is: cosines (gamma), and
# probabilities and logits.
_NEAR_COSINE, _NEAR = 1e-5, 1e-4
PROMPTS = (
    ["background", "floor: wooden floor, carpet, tiles", "person"],
    ["wall", "person", "traffic cone", "spilled coffee", "door", "table", "chair"],
)


@dataclass(frozen=True)
class Comparison:
    """One batch, through the file and through the segmenter.

    Attributes:
        shape: (B, H, W) of the images.
        classes: how many.
        difference: the largest of two probabilities.
        compared: share of the patches that are no threshold's; at those rounding decides.
    """

    shape: tuple[int, int, int]
    classes: int
    difference: float
    compared: float

    @property
    def holds(self) -> bool:
        """Whether the file can be said to compute the same."""
        return self.compared > 0.5 and self.difference <= TOLERANCE

    def __str__(self) -> str:
        batch, height, width = self.shape
        left_out = 100 * (1 - self.compared)
        note = f" ({left_out:.2g} % of the patches lie on a threshold)" if left_out else ""
        size = f"{batch} x {height}x{width}, {self.classes} classes"
        return f"{size}: largest difference {self.difference:.1e}{note}"


def shapes_to_check(patch: int, shorter: int) -> list[tuple[int, int, int]]:
    """Batches (B, H, W) around an inference size: square, odd, one row of patches, several."""
    return [
        (1, shorter, shorter),
        (1, shorter + 5, shorter * 4 // 3 + 3),
        (1, patch - 3, 3 * patch + 1),
        (2, shorter * 2 // 3, shorter // 2 + 1),
    ]


def compare(
    path: Path, segmenter: Segmenter, shapes: Iterable[tuple[int, int, int]]
) -> list[Comparison]:
    """Run a file with ONNX Runtime on the CPU, beside the segmenter.

    Args:
        path: what `write_onnx` wrote.
        segmenter: what it was written from, float32.
        shapes: (B, H, W) of the images to try; each with another of `PROMPTS`, in turns.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    vocabularies = _vocabularies(segmenter)
    return [
        _compare(session, segmenter, shape, vocabularies[number % len(vocabularies)])
        for number, shape in enumerate(shapes)
    ]


def _vocabularies(segmenter: Segmenter) -> list[Vocabulary]:
    """Two with different numbers of classes; of trained ones, if only these are known."""
    trained = segmenter.trained
    if trained is None:
        return [segmenter.embed_prompts(prompts) for prompts in PROMPTS]
    last = [entry.name for entry in trained.classes[len(trained.classes) // 2 :]]
    return [trained, segmenter.embed_prompts(last)]


def _compare(
    session: onnxruntime.InferenceSession,
    segmenter: Segmenter,
    shape: tuple[int, int, int],
    vocabulary: Vocabulary,
) -> Comparison:
    pictures = [_picture(*shape[1:], seed) for seed in range(shape[0])]
    batch = to_batch(pictures, shape[1:], segmenter.device)
    wanted, steady = _reference(segmenter, batch, vocabulary)
    names = [output.name for output in session.get_outputs()]
    inputs = _inputs(session, pictures, batch, vocabulary)
    got = dict(zip(names, map(torch.from_numpy, session.run(names, inputs)), strict=True))
    worst = _largest((got["probabilities"] - wanted).abs().amax(dim=1), steady)
    if "labels" in got:
        full = _of_pixels(segmenter, wanted, shape[1:])
        sure = _of_pixels(segmenter, (~steady)[:, None].float(), shape[1:])[:, 0] == 0
        best = full.amax(dim=1)
        chosen = full.gather(1, got["labels"].long().unsqueeze(1))[:, 0]
        worst = max(worst, _largest((got["confidence"] - best).abs(), sure))
        worst = max(worst, _largest(best - chosen, sure))
    return Comparison(shape, wanted.shape[1], worst, float(steady.float().mean()))


def _of_pixels(segmenter: Segmenter, maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, h, w) -> (B, K, H, W)."""
    return upsample(maps, *cells(maps, size, segmenter.parts, segmenter.options), size)


def _largest(differences: Tensor, where: Tensor) -> float:
    """The largest entry, NaN counting as infinitely large; 0 if there is none."""
    chosen = differences[where].nan_to_num(nan=torch.inf)
    return float(chosen.max()) if chosen.numel() else 0.0


def _picture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: blotches of many sizes, so that patches differ, and noise."""
    generator = np.random.default_rng(seed)
    picture = generator.normal(0.0, 20.0, (height, width, 3))
    for side in (8, 32, 128):
        rows, columns = -(-height // side), -(-width // side)
        blotches = generator.normal(0.0, 45.0, (rows, columns, 3))
        picture += blotches.repeat(side, 0).repeat(side, 1)[:height, :width]
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def _inputs(
    session: onnxruntime.InferenceSession,
    pictures: Sequence[np.ndarray],
    batch: Tensor,
    vocabulary: Vocabulary,
) -> dict[str, np.ndarray]:
    """What the session wants, as far as it wants it."""
    wanted = {entry.name: entry.type for entry in session.get_inputs()}
    arrays = prompt_arrays(vocabulary)
    arrays["images"] = batch.numpy()
    if wanted["images"] == "tensor(uint8)":
        arrays["images"] = np.stack(pictures).transpose(0, 3, 1, 2)
    return {name: arrays[name] for name in wanted}


@torch.inference_mode()
def _reference(
    segmenter: Segmenter, batch: Tensor, vocabulary: Vocabulary
) -> tuple[Tensor, Tensor]:
    """What the segmenter computes, and for which patches (B, h, w) no threshold is near.

    A value on a threshold falls to one side or the other by its last digit, which is another in
    every runtime, and the result may then differ by any amount.
    """
    request = METHODS[segmenter.options.method].request
    dense = segmenter.parts.clip_backbone(batch, request) if request else None
    wanted, *moved = (_classify(segmenter, batch, dense, vocabulary, by) for by in (0, 1, -1))
    steady = torch.ones_like(wanted[:, 0], dtype=torch.bool)
    for other in moved:
        steady &= (other - wanted).abs().amax(dim=1) <= TOLERANCE / 10
    return wanted, steady


def _classify(
    segmenter: Segmenter,
    batch: Tensor,
    dense: DenseFeatures | None,
    vocabulary: Vocabulary,
    by: int,
) -> Tensor:
    """(B, K, h, w), with all thresholds moved up (1), down (-1) or left alone (0)."""
    options, parts = method_options(segmenter.options, segmenter.heads), segmenter.parts
    # The method talk2dino gives its delta as a probability and compares nothing with it.
    own = METHODS[segmenter.options.method].delta is not None
    names = ("ks_threshold", "pd_threshold") if own else ("delta", "ks_threshold", "pd_threshold")
    moved = {name: getattr(options, name) + by * _NEAR for name in names}
    options = dataclasses.replace(options, gamma=options.gamma + by * _NEAR_COSINE, **moved)
    if parts.heads is not None:
        heads = copy.deepcopy(parts.heads)
        heads.bkg_decoder.get_parameter("bias").sub_(by * _NEAR)
        parts = dataclasses.replace(parts, heads=heads)
    return METHODS[segmenter.options.method].function(
        MethodInputs(batch, dense, parts, vocabulary, options)
    )
