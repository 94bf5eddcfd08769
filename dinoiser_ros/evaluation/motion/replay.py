# SPDX-License-Identifier: Apache-2.0
"""Runs the pictures and masks of a drive through `temporal.stream`, as the node does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import process_time

import numpy as np

from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix, mean_iou
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.temporal.stream import Mask, MaskStream

from .correspondence import Correspondences, label_changes
from .drives import EVERY, RATE, Drive, View

_UNLABELED = 255
_KINDS = ("every frame", "carried", "stale")


def as_masks(labels: Sequence[np.ndarray], confidence: Sequence[np.ndarray]) -> list[Mask]:
    """Labels and confidence of views as masks of one context."""
    return [
        Mask(ids, sure, _UNLABELED, "sim") for ids, sure in zip(labels, confidence, strict=True)
    ]


def true_masks(views: Sequence[View]) -> list[Mask]:
    """The masks of a model that is never wrong."""
    ones = np.ones(views[0].truth.shape, np.float32)
    return as_masks([view.truth for view in views], [ones] * len(views))


@dataclass
class Counts:
    """Confusion matrices by what was compared with the truth, and what that cost.

    Attributes:
        matrices: by (kind, part of the drive); kinds are "every frame", "carried" and "stale",
            parts are "all", "straight", "turning" and "seen": the pixels of "all" that were in the
            picture which the mask was computed from.
        cpu: seconds of processor time for following pictures.
        cpu_carry: seconds of processor time for carrying masks.
        followed, carried: how many pictures and masks.
    """

    matrices: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    cpu: float = 0.0
    cpu_carry: float = 0.0
    followed: int = 0
    carried: int = 0

    def add(self, kind: str, part: str, truth: np.ndarray, labels: np.ndarray) -> None:
        """Compare a mask with the truth, both (H, W)."""
        found = confusion_matrix(truth, labels, len(CLASSES))
        self.matrices[kind, part] = self.matrices.get((kind, part), 0) + found

    def mean_iou(self, kind: str, part: str) -> float:
        """MIoU in [0, 1]; NaN without a pixel."""
        matrix = self.matrices.get((kind, part))
        return float("nan") if matrix is None else mean_iou(matrix)


def replay_carried(
    drive: Drive,
    motion: Correspondences,
    masks: Sequence[Mask],
    counts: Counts,
    period: float,
    latency: float,
) -> None:
    """Infer a mask every `period` seconds, have it `latency` seconds later, carry it to each view.

    Args:
        motion: of the drive.
        masks: of the drive's views, that of a picture which is inferred being used.
        counts: gets what is found, from when the first mask is there.
        period, latency: seconds; the latency is at most the period.
    """
    stream = MaskStream()
    start_every, wait = round(period * RATE), round(latency * RATE)
    for index, picture in enumerate(drive.pictures):
        time = index / RATE
        began = process_time()
        stream.picture(picture, time)
        if index >= wait and (index - wait) % start_every == 0:
            stream.result(masks[(index - wait) // EVERY], (index - wait) / RATE, smooth=False)
        if index % start_every == 0:
            stream.begin(picture, time)
        counts.cpu += process_time() - began
        counts.followed += 1
        if index % EVERY == 0 and stream.held_time is not None:
            _compare(drive, motion, masks, index, stream, counts)


def _compare(
    drive: Drive,
    motion: Correspondences,
    masks: Sequence[Mask],
    index: int,
    stream: MaskStream,
    counts: Counts,
) -> None:
    began = process_time()
    carried = stream.carried()
    counts.cpu_carry += process_time() - began
    counts.carried += 1
    assert carried is not None and stream.held_time is not None, "there is a mask"
    view = drive.views[index // EVERY]
    source = round(stream.held_time * RATE) // EVERY
    seen = motion.seen(index // EVERY, source)
    shown = (masks[index // EVERY].labels, carried.labels, masks[source].labels)
    for kind, labels in zip(_KINDS, shown, strict=True):
        counts.add(kind, "all", view.truth, labels)
        counts.add(kind, "turning" if view.turning else "straight", view.truth, labels)
        counts.add(kind, "seen", np.where(seen, view.truth, _UNLABELED), labels)


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
        results.append(stream.result(mask, time, smooth=True))
    flicker.cpu += process_time() - began
    return results
