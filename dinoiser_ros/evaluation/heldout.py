# SPDX-License-Identifier: Apache-2.0
"""Scores of any function from images to labels on the held-out frames.

For models that are being built, and as a second way of counting that `dinoiser evaluate sim`, which
needs a loaded `Segmenter` and sets its options, is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dinoiser_ros.evaluation.datasets.simulated import HELD_OUT_PART, SEEN_PART, pair_parts
from dinoiser_ros.evaluation.metrics.confusion import mean_iou
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS
from dinoiser_ros.sim.frames import LabelledFrame


@dataclass
class Score:
    """Counts of one method over frames, in all 18 classes."""

    tally: Tally = field(default_factory=lambda: Tally.empty(len(CLASSES)))

    @property
    def matrix(self) -> np.ndarray:
        """(classes, classes + 1), see ``confusion_matrix``."""
        return self.tally.matrix

    def add(self, frame: LabelledFrame, predicted: np.ndarray) -> None:
        """Count one frame; ``predicted`` (H, W) holds class ids."""
        self.tally = self.tally.plus(frame.labels, predicted, pair_parts(frame))

    def pair_recall(self, held_out: bool) -> float:
        """Share of the pixels of coloured objects found, mean over classes; NaN without any."""
        return self.tally.part_recall(HELD_OUT_PART if held_out else SEEN_PART)

    def row(self) -> dict[str, float]:
        """The headline numbers, all in [0, 1]."""
        return {
            "mIoU": self.tally.mean_iou(),
            "pixel accuracy": self.tally.pixel_accuracy(),
            "objects' mean IoU": mean_iou(self.matrix, list(OBJECT_IDS)),
            "recall, held-out pairs": self.pair_recall(True),
            "recall, seen pairs": self.pair_recall(False),
        }


def evaluate(segment: Callable[[np.ndarray], np.ndarray], frames: Iterable[LabelledFrame]) -> Score:
    """Score a function from an image (H, W, 3) uint8 to class ids (H, W)."""
    score = Score()
    for frame in frames:
        score.add(frame, segment(frame.rgb))
    return score


def score_method(
    method: str, frames: list[LabelledFrame], model: str = "demo", **options: Any
) -> Score:
    """Score the product's Segmenter; prompts: the class names, images: at their own size."""
    from dinoiser_ros.segmentation import Segmenter

    how = {"device": "cpu", "precision": "float32", "inference_size": 0, **options}
    segmenter = Segmenter(model=model, method=method, **how)
    segmenter.set_prompts(list(CLASSES))
    return evaluate(lambda image: np.asarray(segmenter.segment(image).labels), frames)
