# SPDX-License-Identifier: Apache-2.0
"""Batches of crops with boxes and captions for what each box shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.clip_backbone import MEAN, STD
from dinoiser_ros.segmentation.networks.open_clip_types import VisionTower
from dinoiser_ros.sim.classes import UNLABELLED

from .captions import Caption, bare_name, compose, truth
from .regions import Crop, CropSampler, box_contents, draw_boxes, entities_in
from .vit import normalised, patch_positions

Rng = np.random.Generator
# Shares of a box: what covers less goes unmentioned in its caption; boxes of which less is known
# get none; what covers less counts as not visible; what covers more has its bare name contrasted.
MENTIONED, KNOWN, SEEN, NAMED = 0.12, 0.6, 0.02, 0.25


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        until: step that it ends before.
        crops, boxes: per step, and per crop.
        captions: boxes per crop that get a caption; all boxes get names.
        tokens, zooms: rows and columns of a crop in patches, and the zooms that are drawn from.
        recoloured: share of the crops that get strange colours and captions without colours.
    """

    until: int
    crops: int
    boxes: int
    captions: int
    tokens: tuple[int, int]
    zooms: tuple[float, ...]
    recoloured: float = 0.0


@dataclass
class RegionBatch:
    """Regions of a batch of crops; the last of each crop is the whole crop. C have a caption.

    Attributes:
        images: (B, 3, S, S) float, normalised for CLIP.
        masks: (B, K, N) float: share of each patch in the mean over box k; rows sum to 1.
        captioned: (C,) int64, indices into the B * K regions.
        captions: C of them.
        true: (C, C) bool: caption j could be said of region captioned[i].
        names: a sentence with the bare name of each class, in the order of the ids.
        named: (B * K, classes) bool: what a region shows a good part of.
        visible: (B * K, classes) bool: what it shows anything of.
        tokens: (at least C + classes, context length) int64: captions, names, padding.
        windows: per crop the grid (rows, columns) of its frame and where the crop starts.
    """

    images: Tensor
    masks: Tensor
    captioned: Tensor
    captions: list[Caption]
    true: Tensor
    names: list[str]
    named: Tensor
    visible: Tensor
    tokens: Tensor
    windows: list[tuple[tuple[int, int], int, int]]


def jitter(rng: Rng, rgb: Tensor, strength: float = 0.12) -> Tensor:
    """Change brightness, contrast and a little white balance of each image, uint8 in and out.

    Hues stay what they are called.
    """
    x = rgb.float() / 255
    b = len(x)
    gain = torch.from_numpy(rng.uniform(1 - 2 * strength, 1 + 2 * strength, (b, 1, 1, 1))).float()
    tint = torch.from_numpy(rng.uniform(1 - strength / 2, 1 + strength / 2, (b, 1, 1, 3))).float()
    contrast = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (b, 1, 1, 1))).float()
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (((x * gain * tint - mean) * contrast + mean).clamp(0, 1) * 255).to(torch.uint8)


def recolour(rng: Rng, rgb: Tensor) -> Tensor:
    """Turn all hues of a crop (H, W, 3) uint8 by one random angle and change its saturation.

    Its captions must not name colours then. What is left to tell things apart is form.
    """
    angle, saturation = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 1.1)
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * (np.eye(3) - axis) + np.sin(angle) * cross
    matrix = torch.from_numpy(axis + saturation * turn).float()
    return (rgb.float() @ matrix.T).round().clamp(0, 255).to(torch.uint8)


def _box_masks(boxes: np.ndarray, rows: int, columns: int) -> Tensor:
    masks = torch.zeros(len(boxes), rows, columns)
    for k, (y0, x0, y1, x1) in enumerate(boxes):
        masks[k, y0:y1, x0:x1] = 1.0 / ((y1 - y0) * (x1 - x0))
    return masks.flatten(1)


def _augmented(rng: Rng, sampler: CropSampler, phase: Phase) -> Crop:
    """A crop, half of the time mirrored, sometimes in strange colours that have no names."""
    crop = sampler.draw(rng, phase.tokens, phase.zooms)
    if rng.random() < 0.5:
        crop.rgb, crop.instances = crop.rgb.flip(1), crop.instances[:, ::-1]
    if rng.random() < phase.recoloured:
        crop.rgb = recolour(rng, crop.rgb)
        crop.tables[:, 1] = UNLABELLED
    return crop


def make_batch(
    sampler: CropSampler,
    rng: Rng,
    phase: Phase,
    templates: tuple[str, ...],
    tokenise: Callable[[list[str]], Tensor],
) -> RegionBatch:
    """Draw crops with boxes and say what is in them.

    Args:
        tokenise: n sentences to (n, context length) int64.
    """
    crops = [_augmented(rng, sampler, phase) for _ in range(phase.crops)]
    masks, captions, captioned, shares = [], [], [], []
    for crop in crops:
        places = np.concatenate(
            [draw_boxes(rng, crop.instances, phase.boxes), [[0, 0, *phase.tokens]]]
        )
        masks.append(_box_masks(places, *phase.tokens))
        for index, place in enumerate(places):
            share = box_contents(crop.instances, crop.tables, place)
            shares.append(share)
            said = index < phase.captions or index == phase.boxes
            found = entities_in(share, MENTIONED) if said and share.sum() > KNOWN else []
            if found:
                captioned.append(len(shares) - 1)
                captions.append(compose(rng, found, templates))
    share = np.stack(shares)
    by_class = share.sum(axis=2)
    names = [bare_name(rng, index, templates) for index in range(share.shape[1])]
    sentences = [caption.text for caption in captions] + names
    # Inputs of one shape keep oneDNN's caches small, so missing captions are made up for.
    sentences += [""] * (phase.crops * (phase.captions + 1) - len(captions))
    return RegionBatch(
        images=normalised(jitter(rng, torch.stack([crop.rgb for crop in crops])), MEAN, STD),
        masks=torch.stack(masks),
        captioned=torch.tensor(captioned),
        captions=captions,
        true=torch.from_numpy(truth(share[captioned] > SEEN, captions)),
        names=names,
        named=torch.from_numpy(by_class > NAMED),
        visible=torch.from_numpy(by_class > SEEN),
        tokens=tokenise(sentences),
        windows=[(crop.grid, crop.row, crop.column) for crop in crops],
    )


def window_positions(
    vision: VisionTower, windows: list[tuple[tuple[int, int], int, int]], tokens: tuple[int, int]
) -> Tensor:
    """Positions (B, N, D) of the crops' patches within whole frames, which are the input in use."""
    grids = {grid: patch_positions(vision, *grid) for grid in {window[0] for window in windows}}
    parts = [
        grids[grid][row : row + tokens[0], column : column + tokens[1]].flatten(0, 1)
        for grid, row, column in windows
    ]
    return torch.stack(parts)


def contrast(images: Tensor, texts: Tensor, true: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE in both directions (CLIP, arXiv 2103.00020) without false negatives.

    Args:
        images, texts: (R, d), L2-normalised, row i of one belongs to row i of the other.
        true: (R, R) bool; pairs that are true of each other without being partners are left out.
        scale: what the cosines are multiplied by.
    """
    with torch.autocast(
        "cpu", enabled=False
    ):  # half a digit of a cosine is a lot once multiplied by the scale
        logits = scale * images.float() @ texts.float().T
    ignored = true & ~torch.eye(len(true), dtype=torch.bool)
    logits = logits.masked_fill(ignored, float("-inf"))
    target = torch.arange(len(logits))
    cross_entropy = nn.functional.cross_entropy
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def name_loss(
    regions: Tensor, names: Tensor, named: Tensor, visible: Tensor, scale: Tensor
) -> Tensor:
    """Cross-entropy of boxes against the bare names of all classes.

    Among captions full of colours and floors, the nouns of objects are told apart only very slowly.
    Rare classes weigh more: each by the inverse root of how often it is there.

    Args:
        regions: (R, d) L2-normalised box features.
        names: (classes, d) L2-normalised embeddings of the classes' names.
        named: (R, classes) bool: each is one example.
        visible: (R, classes) bool; other classes visible in a box are no counterexamples for it.
        scale: what the cosines are multiplied by.
    """
    rows, target = named.nonzero(as_tuple=True)
    with torch.autocast("cpu", enabled=False):
        logits = (scale * regions.float() @ names.float().T)[rows]
    other = visible[rows] & ~nn.functional.one_hot(target, len(names)).bool()
    weight = named.sum(dim=0).clamp(min=1).float() ** -0.5
    return nn.functional.cross_entropy(logits.masked_fill(other, float("-inf")), target, weight)
