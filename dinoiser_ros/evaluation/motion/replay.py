# SPDX-License-Identifier: Apache-2.0
"""Runs the pictures and masks of a drive through `temporal.stream`, as the node does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from time import process_time

import numpy as np

from dinoiser_ros.evaluation.metrics.confusion import confusion_matrix, mean_iou
from dinoiser_ros.sim.classes import CLASSES, UNLABELLED
from dinoiser_ros.temporal.stream import Mask, MaskStream
from dinoiser_ros.temporal.windows import Window, choose_window

from .answers import Answers
from .correspondence import Correspondences
from .drives import EVERY, RATE, Drive


@dataclass(frozen=True)
class Schedule:
    """When the network gets pictures.

    Attributes:
        latency: seconds from a whole picture to its mask; a window takes its share of them.
        period: seconds between two whole pictures, at least the latency. Windows follow each other
            at once.
        share: of the pictures' longer side that the network gets at a time; 1: all.
        smooth: whether answers are fused with what was known (`temporal: smooth`).
    """

    latency: float
    period: float = 1.0
    share: float = 1.0
    smooth: bool = False


@dataclass
class Counts:
    """Confusion matrices by what was compared with the truth, and what that cost.

    Attributes:
        matrices: by (kind, part of the drive); kinds are "every frame", "carried" and "stale",
            parts are "all", "straight", "turning" and "seen": the pixels of "all" that were in the
            picture which the mask was computed from. With windows there is no such picture, and
            neither "stale" nor "seen".
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


@dataclass(frozen=True)
class _Job:
    """What the network has: a picture's number, the window of it, and when it will be done."""

    index: int
    window: Window | None
    due: int


class CarriedReplay:
    """Runs the pictures of a drive through the network and `MaskStream`, as the node does.

    Args:
        drive: of which the masks are compared with the truth at each view.
        motion: of the drive.
        every: the masks of its views, each segmented as a whole at once: what is aimed at.
        answers: the network.
        schedule: when it gets pictures.
        lengths: of windows along the longer side, in pixels, see `choose_window`; none: whole
            pictures only.
    """

    def __init__(
        self,
        drive: Drive,
        motion: Correspondences,
        every: Sequence[Mask],
        answers: Answers,
        schedule: Schedule,
        lengths: Sequence[int] = (),
    ) -> None:
        self._drive, self._motion, self._every = drive, motion, every
        self._answers, self._schedule, self._lengths = answers, schedule, lengths
        self._stream = MaskStream()
        self._stream.use_windows(bool(lengths))
        self._job: _Job | None = None
        self._free = 0  # number of the picture from which the network takes another

    def run(self, counts: Counts) -> None:
        """Drive; `counts` gets what is found, from when the first mask is there."""
        for index, picture in enumerate(self._drive.pictures):
            began = process_time()
            self._stream.picture(picture, index / RATE)
            counts.cpu += process_time() - began
            self._infer(index, counts)
            counts.followed += 1
            if index % EVERY == 0 and self._stream.held_time is not None:
                self._compare(index, counts)

    def _infer(self, index: int, counts: Counts) -> None:
        """The network finishes what it has, and takes the newest picture."""
        stream, job = self._stream, self._job
        if job is not None and index >= job.due:
            answer = self._answers(job.index, job.window)
            began = process_time()
            smooth = self._schedule.smooth
            stream.result(answer, job.index / RATE, smooth, job.window)
            counts.cpu += process_time() - began
            self._job = None
        if self._job is None and index >= self._free:
            began = process_time()
            window = None
            if self._lengths and (urgency := stream.urgency) is not None:
                window = choose_window(urgency, self._lengths)
            picture = self._drive.pictures[index]
            stream.begin(picture, index / RATE, window)
            counts.cpu += process_time() - began
            part = 1.0 if window is None else window.of(picture).size / picture.size
            self._job = _Job(
                index, window, index + ceil(part * self._schedule.latency * RATE - 1e-6)
            )
            whole = round(self._schedule.period * RATE)
            self._free = self._job.due if self._lengths else index + whole

    def _compare(self, index: int, counts: Counts) -> None:
        stream = self._stream
        began = process_time()
        carried = stream.carried()
        counts.cpu_carry += process_time() - began
        counts.carried += 1
        assert carried is not None and stream.held_time is not None, "there is a mask"
        view = self._drive.views[index // EVERY]
        shown = {"every frame": self._every[index // EVERY].labels, "carried": carried.labels}
        parts = {"all": view.truth, "turning" if view.turning else "straight": view.truth}
        if not self._lengths:  # one picture that all of the mask comes from
            source = round(stream.held_time * RATE) // EVERY
            shown["stale"] = self._every[source].labels
            seen = self._motion.seen(index // EVERY, source)
            parts["seen"] = np.where(seen, view.truth, UNLABELLED)
        for kind, labels in shown.items():
            for part, truth in parts.items():
                counts.add(kind, part, truth, labels)
