# SPDX-License-Identifier: Apache-2.0
"""What an evaluation counts: confusion matrices of all pixels and of named parts of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .confusion import confusion_matrix, iou, mean_iou, mean_recall, pixel_accuracy


@dataclass(frozen=True)
class Tally:
    """Counts of one method over the first samples of one benchmark.

    It is immutable, so that an evaluation that is stopped between two statements has counted a
    sample either once or not at all.

    Attributes:
        matrix: (K, K + 1) int64, see `confusion_matrix`.
        parts: the same over some pixels only, by a name such as "held-out pairs".
        samples: how many pictures are counted.
        seconds: time spent on predicting them.
    """

    matrix: np.ndarray
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    samples: int = 0
    seconds: float = 0.0

    @classmethod
    def empty(cls, classes: int) -> Tally:
        """Nothing counted yet."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    def plus(
        self,
        labels: np.ndarray,
        predicted: np.ndarray,
        parts: Mapping[str, np.ndarray] | None = None,
        seconds: float = 0.0,
    ) -> Tally:
        """This tally and one more picture.

        Args:
            labels: (H, W) true class ids, 255 where nothing is counted.
            predicted: (H, W) class ids; what is no class counts as a miss.
            parts: (H, W) bool by name, the pixels of each part.
            seconds: what the prediction took.

        Raises:
            ValueError: the shapes differ.
        """
        classes = len(self.matrix)
        counted = dict(self.parts)
        for name, mask in (parts or {}).items():
            more = confusion_matrix(labels[mask], predicted[mask], classes)
            counted[name] = counted.get(name, 0) + more
        return replace(
            self,
            matrix=self.matrix + confusion_matrix(labels, predicted, classes),
            parts=counted,
            samples=self.samples + 1,
            seconds=self.seconds + seconds,
        )

    def iou(self) -> np.ndarray:
        """(K,) intersection over union in [0, 1]; NaN for a class neither present nor predicted."""
        return iou(self.matrix)

    def mean_iou(self) -> float:
        """MIoU in [0, 1]; NaN without a counted pixel."""
        return mean_iou(self.matrix)

    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that got their class, in [0, 1]; NaN without any."""
        return pixel_accuracy(self.matrix)

    def part_recall(self, name: str) -> float:
        """Mean over classes of the share of a part's pixels found, in [0, 1]; NaN without any."""
        return mean_recall(self.parts[name]) if name in self.parts else float("nan")

    def to_json(self) -> dict[str, object]:
        """Plain values that `from_json` turns into the same tally."""
        return {
            "samples": self.samples,
            "seconds": self.seconds,
            "matrix": self.matrix.tolist(),
            "parts": {name: matrix.tolist() for name, matrix in self.parts.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: these are not the values of a tally.
        """
        matrix = _matrix(values["matrix"])
        parts = {str(name): _matrix(rows) for name, rows in dict(values["parts"]).items()}
        if any(part.shape != matrix.shape for part in parts.values()):
            raise ValueError("a part has another number of classes")
        return cls(matrix, parts, int(values["samples"]), float(values["seconds"]))


def _matrix(rows: object) -> np.ndarray:
    matrix = np.array(rows, dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[1] != matrix.shape[0] + 1:
        raise ValueError(f"a matrix has shape {matrix.shape}")
    return matrix
