# SPDX-License-Identifier: Apache-2.0
"""The held-out frames as a benchmark: ``python -m dinoiser_ros.evaluation.heldout``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dinoiser_ros.evaluation.datasets.simulated import FOLDER, HELD_OUT_PART, SEEN_PART, pair_parts
from dinoiser_ros.evaluation.metrics.confusion import mean_iou
from dinoiser_ros.evaluation.metrics.tally import Tally
from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS
from dinoiser_ros.sim.frames import LabelledFrame, read_frames


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
        """Share of the pixels of named-colour objects found, averaged over classes; NaN without
        any.
        """
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


def markdown(scores: dict[str, Score]) -> str:
    """A table of the headline numbers, and one with the IoU of each class."""
    rows = {method: score.row() for method, score in scores.items()}
    columns = list(next(iter(rows.values())))
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for method, row in rows.items():
        lines.append(
            f"| {method} | " + " | ".join(f"{row[column]:.3f}" for column in columns) + " |"
        )
    lines += ["", "| class | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    each = [score.tally.iou() for score in scores.values()]
    for index, name in enumerate(CLASSES):
        lines.append(f"| {name} | " + " | ".join(f"{values[index]:.3f}" for values in each) + " |")
    return "\n".join(lines)


def score_method(
    method: str, frames: list[LabelledFrame], model: str = "demo", **options: object
) -> Score:
    """Score the product's Segmenter; prompts: the class names, images: at their own size."""
    from dinoiser_ros.segmentation import Segmenter

    segmenter = Segmenter(model=model, method=method, device="cpu", precision="float32", **options)
    segmenter.set_prompts(list(CLASSES))
    return evaluate(lambda image: np.asarray(segmenter.segment(image).labels), frames)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", nargs="+", default=["maskclip", "dinoiser"])
    parser.add_argument("--model", default="demo")
    parser.add_argument(
        "--frames", type=Path, default=FOLDER, help=f"default: {FOLDER}, from the repository's root"
    )
    parser.add_argument("--gamma", type=float, help="default: the value stored with the heads")
    options = parser.parse_args(arguments)
    frames = list(read_frames(options.frames))
    extra = {} if options.gamma is None else {"gamma": options.gamma}
    scores = {
        method: score_method(method, frames, options.model, **extra) for method in options.method
    }
    print(f"{len(frames)} frames from {options.frames}\n")
    print(markdown(scores))


if __name__ == "__main__":
    main()
