# SPDX-License-Identifier: Apache-2.0
"""The demo's prompts, and how well the masks agree with the simulator's ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dinoiser_ros.evaluation.metrics.confusion import IGNORED, confusion_matrix, mean_iou
from dinoiser_ros.sim.classes import CLASSES

# Classes one by one at first; then grouped, as a robot that only wants to know where to drive.
PROMPT_SETS: tuple[tuple[str, ...], ...] = (
    CLASSES,
    (
        "ground: wooden floor, tiled floor, concrete floor, carpet, grass",
        "wall: white wall, brick wall",
        "person",
        "furniture: chair, table, shelf",
        "traffic cone",
        "ball",
        "box",
        "barrel",
        "door",
        "plant",
        "sky",
    ),
)


@dataclass
class Score:
    """Agreement of the masks of one prompt set with the ground truth, summed up over frames.

    Attributes:
        names: class names of the prompt set, in the order of their ids.
        phrases: the simulated classes that each of them stands for.
        frames: how many masks were added.
    """

    names: list[str]
    phrases: list[list[str]]
    frames: int = 0
    _confusion: np.ndarray = field(init=False)
    _truth_to_id: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._confusion = np.zeros((len(self.names), len(self.names) + 1), np.int64)
        self._truth_to_id = np.full(256, IGNORED, np.uint8)
        for number, phrases in enumerate(self.phrases):
            for phrase in phrases:
                self._truth_to_id[CLASSES.index(phrase)] = number

    def add(self, mask: np.ndarray, truth: np.ndarray) -> None:
        """Add one frame.

        Args:
            mask: (H, W) uint8, ids of the prompt set, anything above: unlabeled.
            truth: (H, W) uint8, ids of the simulated classes, 255 for none (not counted).
        """
        self._confusion += confusion_matrix(self._truth_to_id[truth], mask, len(self.names))
        self.frames += 1

    def mean_iou(self) -> float:
        """Mean over the classes that occur in the ground truth; NaN if none does."""
        present = np.flatnonzero(self._confusion.sum(axis=1))
        return mean_iou(self._confusion, present.tolist())


def score_of(prompts: Sequence[str]) -> Score:
    """An empty score for prompts made of simulated classes: "name" or "name: phrase, phrase"."""
    names, phrases = [], []
    for prompt in prompts:
        name, colon, listed = prompt.partition(":")
        names.append(name.strip())
        phrases.append([part.strip() for part in listed.split(",")] if colon else [name.strip()])
    return Score(names, phrases)


def overall_iou(scores: Sequence[Score]) -> float:
    """Mean IoU of all prompt sets, each weighted with its frames; NaN without frames."""
    used = [score for score in scores if score.frames]
    if not used:
        return float("nan")
    total = sum(score.frames for score in used)
    return sum(score.mean_iou() * score.frames for score in used) / total
