# SPDX-License-Identifier: Apache-2.0
"""What a class taught by points is worth beside one that is named: `make bench-teach`.

Rules that make a row of the text matrix of examples are compared on validation scenes; the one in
use is then measured on the held-out frames. Points are in the middle of objects of validation
scenes, each of another scene. Options are those of the model; every second pixel is counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.evaluation.datasets.simulated import FOLDER
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.examples.calibration import (
    SHRINKAGE,
    taught_embedding,
    text_levels,
)
from dinoiser_ros.segmentation.examples.example_set import Example
from dinoiser_ros.segmentation.inference.example_features import patch_features
from dinoiser_ros.segmentation.networks.similarity import Similarity
from dinoiser_ros.segmentation.pixels.preprocess import inference_shape, stack_images
from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS
from dinoiser_ros.sim.frames import read_frames
from dinoiser_ros.training.demo.frame_store import Split, open_split, render_split
from dinoiser_ros.utils.atomic_files import atomic_write_text

Rule = Callable[[Sequence[Example], Tensor], Tensor]

_COUNTS = (1, 3, 5)  # points that a class is taught by
_LEAST_PIXELS = 150  # of an object that somebody points at
_LEAST_DISTANCE = 6.0  # pixels from the point to the object's border
_STRIDE = 2  # every second pixel of every second row is counted


@dataclass
class Frames:
    """Frames with their features.

    Attributes:
        pictures: (H, W, 3) uint8 each.
        labels: (H, W) uint8 each.
        instances: (H, W) uint8 each.
        features: (N, d, h, w) unit vectors, what the method compares with texts.
    """

    pictures: list[np.ndarray]
    labels: list[np.ndarray]
    instances: list[np.ndarray]
    features: Tensor

    def scene(self, index: int) -> int:
        """Two frames show one scene."""
        return index // 2


def mean_of_both(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """The mean feature (d,) of examples, and the patches around them (M, d)."""
    mean = F.normalize(torch.stack([example.feature for example in examples]).mean(0), dim=0)
    return mean, torch.cat([example.background for example in examples])


def raw(examples: Sequence[Example], texts: Tensor) -> Tensor:
    """No calibration: the mean feature is the row."""
    return mean_of_both(examples)[0]


def z_scores(examples: Sequence[Example], texts: Tensor) -> Tensor:
    """Mean and deviation of the similarity over the patches around become those of texts."""
    mean, around = mean_of_both(examples)
    scores = around @ texts.T
    row = mean * scores.std(dim=0).mean() / (around @ mean).std()
    common = F.normalize(around.mean(dim=0), dim=0)
    return row + common * (scores.mean() - (around @ row).mean()) / (around @ common).mean()


def moved(examples: Sequence[Example], texts: Tensor, share: float) -> Tensor:
    """The mean text, and a share of the way from the patches around to the examples."""
    mean, around = mean_of_both(examples)
    return texts.mean(dim=0) + share * (mean - around.mean(dim=0))


def two_levels(examples: Sequence[Example], texts: Tensor) -> Tensor:
    """The row in use without its distance to the mean text: two directions, two levels."""
    mean, around = mean_of_both(examples)
    features = torch.stack([example.feature for example in examples])
    directions = torch.stack([mean, F.normalize(around.mean(dim=0), dim=0)], dim=1)
    responses = torch.stack([(f @ directions).mean(dim=0) for f in (features, around)])
    return directions @ torch.linalg.solve(responses, torch.stack(text_levels(around, texts)))


RULES: dict[str, Rule] = {
    "raw mean": raw,
    "mean and deviation": z_scores,
    **{f"moved text, {share:g}": partial(moved, share=share) for share in (0.15, 0.3, 0.6)},
    "two levels": two_levels,
    **{
        f"two levels, near the mean text, {weight:g}": partial(taught_embedding, shrinkage=weight)
        for weight in (0.01, 0.03, 0.1, 0.3)
    },
}


def with_features(segmenter: Segmenter, frames: Frames) -> Frames:
    """Frames, with what the segmenter's method compares with texts."""
    found = []
    for picture in frames.pictures:
        shape = inference_shape(picture.shape[:2], segmenter.shorter_side(segmenter.options))
        features, _ = patch_features(
            stack_images([picture]), shape, segmenter.parts, segmenter.options
        )
        found.append(features.permute(2, 0, 1))
    return replace(frames, features=torch.stack(found))


def points_on(frames: Frames, entry: int, count: int, seed: int) -> list[tuple[int, int, int]]:
    """(frame, x, y): the middles of objects of a class, each in another scene."""
    candidates = []
    for index, (labels, instances) in enumerate(zip(frames.labels, frames.instances, strict=True)):
        for instance in np.unique(instances[labels == entry]):
            mask = (instances == instance) & (labels == entry)
            if mask.sum() < _LEAST_PIXELS:
                continue
            distance = cv2.distanceTransform(
                np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_5
            )[1:-1, 1:-1]
            y, x = np.unravel_index(distance.argmax(), distance.shape)
            if distance[y, x] >= _LEAST_DISTANCE:
                candidates.append((index, int(x), int(y)))
    chosen: dict[int, tuple[int, int, int]] = {}
    for place in np.random.default_rng([seed, entry]).permutation(len(candidates)):
        chosen.setdefault(frames.scene(candidates[place][0]), candidates[place])
    return list(chosen.values())[:count]


def intersections(
    frames: Frames, rows: Tensor, keep: Sequence[int], similarity: Similarity
) -> Tensor:
    """(K,) IoU of all classes, NaN for one that is not there.

    Args:
        rows: (K, d), the text matrix.
        keep: frames that are counted.
        similarity: of the model.
    """
    classes = len(rows)
    counts = torch.zeros(classes * classes)
    for index in keep:
        truth = torch.from_numpy(frames.labels[index][::_STRIDE, ::_STRIDE].astype(np.int64))
        cosines = torch.einsum("dhw,kd->khw", frames.features[index], rows)
        scores = similarity.probabilities(similarity.logits(cosines)[None])
        fine = F.interpolate(scores, tuple(truth.shape), mode="bilinear")[0]
        seen = truth < classes
        cells = truth[seen] * classes + fine.argmax(dim=0)[seen]
        counts += torch.bincount(cells, minlength=classes * classes)
    matrix = counts.view(classes, classes)
    return matrix.diag() / (matrix.sum(0) + matrix.sum(1) - matrix.diag())


@dataclass(frozen=True)
class Outcome:
    """One class taught instead of named.

    Attributes:
        named, taught: its IoU when named and when taught.
        loss: mean of what the other classes lose, in IoU.
    """

    named: float
    taught: float
    loss: float


def outcome(
    segmenter: Segmenter,
    teaching: Frames,
    tested: Frames,
    entry: int,
    count: int,
    rules: dict[str, Rule],
    seed: int,
    every: int,
) -> dict[str, Outcome]:
    """What each rule makes of some points of one class."""
    rows, similarity = segmenter.vocabulary.embeddings, segmenter.parts.main.similarity
    points = points_on(teaching, entry, count, seed)
    examples = [
        example
        for index, x, y in points
        for example in segmenter.examples_of(teaching.pictures[index], [(x, y)])
    ]
    used = (
        {teaching.scene(index) for index, _, _ in points}
        if teaching.pictures is tested.pictures
        else set()
    )
    keep = [i for i in range(0, len(tested.pictures), every) if tested.scene(i) not in used]
    others = torch.tensor([k for k in range(len(rows)) if k != entry])
    before = intersections(tested, rows, keep, similarity)
    found = {}
    for name, rule in rules.items():
        changed = rows.clone()
        changed[entry] = rule(examples, rows[others])
        after = intersections(tested, changed, keep, similarity)
        loss = float((before - after)[others].nanmean())
        found[name] = Outcome(float(before[entry]), float(after[entry]), loss)
    return found


def compare_rules(segmenter: Segmenter, frames: Frames, seeds: int, every: int) -> str:
    """A table of all rules on validation scenes."""
    lines = [
        "| rule | " + " | ".join(f"{count} points" for count in _COUNTS) + " | others' loss |",
        "|---|" + "---|" * (len(_COUNTS) + 1),
    ]
    found: dict[str, dict[int, list[Outcome]]] = {name: {} for name in RULES}
    for count in _COUNTS:
        for entry in OBJECT_IDS:
            for seed in range(seeds):
                each = outcome(segmenter, frames, frames, entry, count, RULES, seed, every)
                for name, one in each.items():
                    found[name].setdefault(count, []).append(one)
        print(f"{count} points are done", file=sys.stderr, flush=True)
    for name, by_count in found.items():
        cells = []
        for count in _COUNTS:
            shares = [one.taught / one.named for one in by_count[count]]
            cells.append(f"{np.median(shares):.2f} ({np.mean(shares):.2f})")
        losses = [one.loss for many in by_count.values() for one in many]
        lines.append(f"| {name} | {' | '.join(cells)} | {100 * np.mean(losses):.1f} |")
    return "\n".join(lines) + "\n"


def measure_classes(
    segmenter: Segmenter, teaching: Frames, tested: Frames, seeds: int, every: int
) -> str:
    """A table of the rule in use, class by class, on the held-out frames."""
    rule: dict[str, Rule] = {"": taught_embedding}
    heads = " | ".join(f"{count} point{'s' if count > 1 else ''}" for count in _COUNTS)
    lines = [f"| class | named | {heads} | others' loss |", "|---|" + "---|" * (len(_COUNTS) + 2)]
    shares: dict[int, list[float]] = {count: [] for count in _COUNTS}
    worst = 0.0
    for entry in OBJECT_IDS:
        cells, losses, named = [], [], 0.0
        for count in _COUNTS:
            many = [
                outcome(segmenter, teaching, tested, entry, count, rule, seed, every)[""]
                for seed in range(seeds)
            ]
            named, taught = many[0].named, float(np.mean([one.taught for one in many]))
            shares[count].append(taught / named)
            losses += [one.loss for one in many]
            cells.append(f"{100 * taught:.1f} ({taught / named:.2f})")
        worst = max(worst, *losses)
        lines.append(
            f"| {CLASSES[entry]} | {100 * named:.1f} | {' | '.join(cells)} | "
            f"{100 * np.mean(losses):.1f} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    medians = " | ".join(f"({np.median(shares[count]):.2f})" for count in _COUNTS)
    lines.append(f"| median | | {medians} | at most {100 * worst:.1f} |")
    return "\n".join(lines) + "\n"


@torch.inference_mode()
def measure(options: argparse.Namespace) -> str:
    """Both tables."""
    segmenter = Segmenter(
        options.model, method=options.method, device="cpu", precision="float32", offline=True
    )
    segmenter.set_prompts(list(CLASSES))
    split = Split("validation", 2_000_000, options.scenes, 2)
    options.work.mkdir(parents=True, exist_ok=True)
    render_split(split, options.work)
    store = open_split(split, options.work)
    validation = Frames(
        [np.array(picture) for picture in store.rgb],
        [store.labels(index) for index in range(split.frames)],
        [np.array(instances) for instances in store.instances],
        torch.empty(0),
    )
    text = ""
    if not options.held_out_only:
        validation = with_features(segmenter, validation)
        text += compare_rules(segmenter, validation, options.seeds, options.every) + "\n"
    stored = list(read_frames(FOLDER))
    held_out = Frames(
        [frame.rgb for frame in stored],
        [frame.labels for frame in stored],
        [frame.instances for frame in stored],
        torch.empty(0),
    )
    held_out = with_features(segmenter, held_out)
    return text + measure_classes(segmenter, validation, held_out, options.seeds, options.every)


def main() -> None:
    """Command line: print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo", help="%(default)s")
    parser.add_argument("--method", default="dinoiser", help="%(default)s")
    parser.add_argument("--scenes", type=int, default=60, help="of validation (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="choices of points (%(default)s)")
    parser.add_argument("--every", type=int, default=2, help="frame is counted (%(default)s)")
    parser.add_argument("--held-out-only", action="store_true", help="compare no rules")
    parser.add_argument("--work", type=Path, default=Path("build/bench_teach"))
    parser.add_argument("-o", "--output", type=Path, help="file for the tables, .md")
    options = parser.parse_args()
    text = measure(options)
    print(f"The rule in use: two levels, near the mean text, {SHRINKAGE:g}.\n\n{text}")
    if options.output:
        atomic_write_text(options.output, text)


if __name__ == "__main__":
    main()
