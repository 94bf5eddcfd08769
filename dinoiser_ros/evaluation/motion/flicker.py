# SPDX-License-Identifier: Apache-2.0
"""Masks of every view, each by itself or fused with those before: how much they flicker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np

from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix, mean_iou
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.temporal.stream import Mask, MaskStream

from .correspondence import Correspondences, label_changes
from .drives import EVERY, RATE, Drive


@dataclass
class Flicker:
    """Pixels whose label changed although they show the same, and mIoU.

    Attributes:
        changed, compared: pixels.
        matrix: the confusion matrix of all views.
        cpu: seconds of processor time for smoothing.
        masks: how many were made.
    """

    changed: int = 0
    compared: int = 0
    matrix: np.ndarray | None = None
    cpu: float = 0.0
    masks: int = 0

    @property
    def share(self) -> float:
        """Share of the compared pixels that changed, in [0, 1]."""
        return self.changed / max(self.compared, 1)

    @property
    def mean_iou(self) -> float:
        """MIoU in [0, 1]; NaN without a mask."""
        return float("nan") if self.matrix is None else mean_iou(self.matrix)

    def add(self, drive: Drive, motion: Correspondences, masks: Sequence[Mask]) -> None:
        """Count the masks of a drive's views; `motion` is the drive's."""
        for index, (view, mask) in enumerate(zip(drive.views, masks, strict=True)):
            found = confusion_matrix(view.truth, mask.labels, len(CLASSES))
            self.matrix = found if self.matrix is None else self.matrix + found
            self.masks += 1
            if index:
                places, same = motion.places(index, index - 1)
                changed, compared = label_changes(
                    mask.labels, masks[index - 1].labels, places, same
                )
                self.changed += changed
                self.compared += compared


def smoothed(drive: Drive, masks: Sequence[Mask], flicker: Flicker) -> list[Mask]:
    """The masks of a drive's views, each fused with those before; `flicker` gets the time taken."""
    stream, results = MaskStream(), []
    began = process_time()
    for index, mask in enumerate(masks):
        picture, time = drive.pictures[index * EVERY], index * EVERY / RATE
        stream.picture(picture, time)
        stream.begin(picture, time)
        fused = stream.result(mask, time, smooth=True)
        assert fused is not None, "it is of a whole picture"
        results.append(fused)
    flicker.cpu += process_time() - began
    return results
