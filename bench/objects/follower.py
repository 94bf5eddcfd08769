# SPDX-License-Identifier: Apache-2.0
"""One kind of masks through instances, boxes and tracker, as the node does it, with its scores."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from points.accuracy import pinhole

from dinoiser_ros.geometry.camera_model import ray_directions
from dinoiser_ros.objects.found import FoundObject, ObjectLimits, find_objects, follow
from dinoiser_ros.objects.tracking import Tracker
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.sim.classes import CLASSES, OBJECT_IDS

from .drives import TrueFrame
from .scores import Boxes, Scores, hiding_survived

NAMES = {number: CLASSES[number] for number in OBJECT_IDS}


@dataclass
class Follower:
    """Follows the objects of drives, one drive after the other.

    Attributes:
        with_depth: whether depth is used.
        limits: what counts as an object.
        scores: of all drives so far.
        costs: processor time of each image in milliseconds.
    """

    with_depth: bool
    limits: ObjectLimits
    memory: float = BY_NAME["track_memory"].default
    scores: Scores = field(default_factory=Scores)
    costs: list[float] = field(default_factory=list)
    _tracker: Tracker = field(default_factory=Tracker)
    _hidden: list[int | None] = field(default_factory=list)
    _numbers: list[dict[int, int]] = field(default_factory=list)

    def begin(self) -> None:
        """A drive begins."""
        self._tracker = Tracker(self.memory)
        self._hidden, self._numbers = [], []

    def image(
        self, drive: int, frame: TrueFrame, labels: np.ndarray, confidence: np.ndarray
    ) -> list[FoundObject]:
        """The next image of a drive with its mask."""
        rays = ray_directions(pinhole(frame))
        start = time.thread_time()
        space = (frame.depth, rays) if self.with_depth else None
        instances, boxes = find_objects(labels, confidence, NAMES, self.limits, space)
        found = follow(self._tracker, frame.seconds, instances, boxes, NAMES)
        self.costs.append((time.thread_time() - start) * 1e3)
        truth = true_boxes(frame, self.limits.min_size)
        self._numbers.append(self.scores.add(drive, truth, _boxes(found)))
        self._hidden.append(frame.hidden)
        return found

    def end(self) -> None:
        """A drive is over."""
        survived = hiding_survived(self._hidden, self._numbers)
        self.scores.survived += sum(survived)
        self.scores.hidden += len(survived)


def default_limits() -> ObjectLimits:
    """Those of the node's parameters."""
    names = ("object_min_size", "object_min_confidence", "object_depth_jump")
    return ObjectLimits(*(float(BY_NAME[name].default) for name in names))


def true_boxes(frame: TrueFrame, min_size: float) -> Boxes:
    """The objects that are truly seen; those below a share of the image are not counted."""
    counts = np.bincount(frame.instances.ravel(), minlength=256)
    counts[~np.isin(frame.class_of, OBJECT_IDS)] = 0
    ids = np.flatnonzero(counts)
    places = np.zeros((len(ids), 4))
    for row, number in enumerate(ids):
        own = frame.instances == number
        ys, xs = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        sides = (xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1)
        places[row] = (xs[0] + sides[0] / 2, ys[0] + sides[1] / 2, *sides)
    counted = counts[ids] >= min_size * frame.instances.size
    return Boxes(ids, frame.class_of[ids].astype(int), places, counted)


def _boxes(found: list[FoundObject]) -> Boxes:
    """Those with a number."""
    found = [one for one in found if one.track]
    places = [
        (at.x + at.width / 2, at.y + at.height / 2, at.width, at.height)
        for at in (one.instance for one in found)
    ]
    return Boxes(
        np.array([one.track for one in found], int),
        np.array([one.instance.class_id for one in found], int),
        np.array(places, float).reshape(-1, 4),
        np.ones(len(found), bool),
    )
