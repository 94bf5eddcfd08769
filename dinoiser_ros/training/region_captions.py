"""Batches of crops with boxes and captions for what each box shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dinoiser_ros.sim.classes import UNLABELLED
from dinoiser_ros.training.captions import Caption, bare_name, compose, truth
from dinoiser_ros.training.regions import CropSampler, box_contents, draw_boxes, entities_in
from dinoiser_ros.training.vit import resized_positions

Rng = np.random.Generator
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# What covers less of a box than this goes unmentioned; boxes that nothing known covers that far
# are skipped.
MENTIONED, KNOWN, SEEN, DOMINANT = 0.12, 0.6, 0.02, 0.6


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        until: step that it ends before.
        crops, boxes: per step, and per crop.
        tokens, zooms: rows and columns of a crop in patches, and the zooms that are drawn from.
        names: weight of the loss on bare names.
        lr: what the learning rate is multiplied by.
        recoloured: share of the crops that get strange colours and captions without colours.
    """

    until: int
    crops: int
    boxes: int
    tokens: tuple[int, int]
    zooms: tuple[float, ...]
    names: float = 0.0
    lr: float = 1.0
    recoloured: float = 0.0


@dataclass
class RegionBatch:
    """Regions of a batch of crops, each with its caption; the last of each crop is the whole crop.

    Attributes:
        images: (B, 3, S, S) float, normalised for CLIP.
        masks: (B, K, N) float: share of each patch in the mean over box k; rows sum to 1.
        valid: (B * K,) bool: regions that have a caption.
        captions: B * K of them, empty texts where not valid.
        true: (B * K, B * K) bool: caption j could be said of region i.
        names: a sentence with the bare name of each class, in the order of the ids.
        dominant: (B * K,) int64, the class that covers most of a region, -1 where none does.
        visible: (B * K, classes) bool.
        windows: per crop the grid (rows, columns) of its frame and where the crop starts.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    captions: list[Caption]
    true: Tensor
    names: list[str]
    dominant: Tensor
    visible: Tensor
    windows: list[tuple[tuple[int, int], int, int]]


def normalise(rgb: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float with CLIP's mean and standard deviation."""
    x = rgb.permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def jitter(rng: Rng, rgb: Tensor, strength: float = 0.12) -> Tensor:
    """Brightness, contrast and a little white balance, per image; hues stay what they are called.
    uint8 in and out.
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


def make_batch(
    sampler: CropSampler, rng: Rng, phase: Phase, templates: tuple[str, ...]
) -> RegionBatch:
    """Draw crops with boxes; the last region of each is the whole crop."""
    images, masks, captions, shares, windows = [], [], [], [], []
    for _ in range(phase.crops):
        crop = sampler.draw(rng, phase.tokens, phase.zooms)
        rgb, instances = crop.rgb, crop.instances
        if rng.random() < 0.5:
            rgb, instances = rgb.flip(1), instances[:, ::-1]
        if rng.random() < phase.recoloured:
            rgb = recolour(rng, rgb)
            crop.tables[:, 1] = UNLABELLED
        places = np.concatenate([draw_boxes(rng, instances, phase.boxes), [[0, 0, *phase.tokens]]])
        for place in places:
            share = box_contents(instances, crop.tables, place)
            found = entities_in(share, MENTIONED) if share.sum() > KNOWN else []
            captions.append(compose(rng, found, templates) if found else Caption("", ()))
            shares.append(share)
        images.append(rgb)
        masks.append(_box_masks(places, *phase.tokens))
        windows.append((crop.grid, crop.row, crop.column))
    share = np.stack(shares)
    true = truth(share > SEEN, captions)
    by_class = share.sum(axis=2)
    dominant = np.where(by_class.max(axis=1) > DOMINANT, by_class.argmax(axis=1), -1)
    return RegionBatch(
        normalise(jitter(rng, torch.stack(images))),
        torch.stack(masks),
        torch.tensor([bool(c.text) for c in captions]),
        captions,
        torch.from_numpy(true),
        [bare_name(rng, index, templates) for index in range(share.shape[1])],
        torch.from_numpy(dominant),
        torch.from_numpy(by_class > SEEN),
        windows,
    )


def window_positions(
    vision: nn.Module, windows: list[tuple[tuple[int, int], int, int]], tokens: tuple[int, int]
) -> Tensor:
    """Positions (B, N, D) that the crops' patches have when the whole frame is the input, as it is
    in use.
    """
    grids = {grid: resized_positions(vision, *grid) for grid in {window[0] for window in windows}}
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
    regions: Tensor, names: Tensor, dominant: Tensor, visible: Tensor, scale: Tensor
) -> Tensor:
    """Cross-entropy of boxes that one class dominates against the names of all classes.

    Args:
        regions: (R, d) L2-normalised box features.
        names: (classes, d) L2-normalised embeddings of the classes' names.
        dominant: (R,) class ids; -1 for boxes without a dominant class, which are left out.
        visible: (R, classes) bool; other classes visible in a box are no counterexamples for it.
        scale: what the cosines are multiplied by.
    """
    chosen = dominant >= 0
    target = dominant[chosen]
    with torch.autocast("cpu", enabled=False):
        logits = scale * regions[chosen].float() @ names.float().T
    other = visible[chosen] & ~nn.functional.one_hot(target, len(names)).bool()
    return nn.functional.cross_entropy(logits.masked_fill(other, float("-inf")), target)
