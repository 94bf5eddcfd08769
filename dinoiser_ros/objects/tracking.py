# SPDX-License-Identifier: Apache-2.0
"""The same number for the same object in every image of one camera."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .association import Places, assign, costs
from .motion_filter import MotionFilter

MOST_TRACKS = 512  # of one camera
_BACK = 1.0  # seconds; no driver disorders images by so much
_SLOWEST = 10.0  # seconds between two images that still show the same objects
_MOST_MISSES = 3600  # images without it that a track outlives, whatever the clock says
_HELPERS = 3  # objects that must have moved in common before it is taken for the camera's motion

# Centre x and y, width, height, in units of the box's size; then x, y, z in metres.
_ERROR = np.array([0.06, 0.06, 0.1, 0.1])
_POINT_ERROR = np.array([0.05, 0.05, 0.08])
_SPEED = np.array([1.0, 1.0, 0.5, 0.5])
_POINT_SPEED = np.array([1.0, 1.0, 1.0])
_ACCELERATION = np.array([1.0, 1.0, 0.5, 0.5])
_POINT_ACCELERATION = np.array([1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Observation:
    """An object as one image shows it.

    Attributes:
        class_name: only objects of one class can be the same.
        box: (4,) centre x and y, width and height in pixels.
        point: (3,) metres in the optical frame; None if not known.
    """

    class_name: str
    box: np.ndarray
    point: np.ndarray | None = None


class _Track:
    """An object that was seen, and where it should be by now."""

    def __init__(self, seen: Observation) -> None:
        self.class_name = seen.class_name
        self.number = 0
        self.hits = 1
        self.misses = 0
        self.last_seen = 0.0
        size = self._size(seen)
        self.filter = MotionFilter(
            _measured(seen),
            _scaled(_ERROR, _POINT_ERROR, size),
            _scaled(_SPEED, _POINT_SPEED, size),
        )

    def predict(self, seconds: float) -> None:
        size = float(np.hypot(*self.filter.value[2:4]))
        self.filter.predict(seconds, _scaled(_ACCELERATION, _POINT_ACCELERATION, size))

    def update(self, seen: Observation) -> None:
        self.hits += 1
        self.misses = 0
        self.filter.update(_measured(seen), _scaled(_ERROR, _POINT_ERROR, self._size(seen)))
        np.maximum(self.filter.value[2:4], 1.0, out=self.filter.value[2:4])

    @staticmethod
    def _size(seen: Observation) -> float:
        return float(np.hypot(seen.box[2], seen.box[3]))


class Tracker:
    """Follows the objects of one camera.

    A track gets its number when its object was seen in some images, and keeps it while the object
    is hidden. A number is used once.

    Args:
        memory: seconds that an object may be hidden.
        min_hits: images in which it must have been seen.
    """

    def __init__(self, memory: float = 2.0, min_hits: int = 3) -> None:
        self.memory = memory
        self.min_hits = min_hits
        self._tracks: list[_Track] = []
        self._numbers = itertools.count(1)
        self._now: float | None = None

    def __len__(self) -> int:
        return len(self._tracks)

    def reset(self) -> None:
        """Forget all objects; their numbers are not used again."""
        self._tracks = []
        self._now = None

    def update(self, seconds: float, seen: Sequence[Observation]) -> list[int]:
        """Take in what the next image shows.

        Args:
            seconds: stamp of the image. One that goes back by more than a second starts afresh.
            seen: its objects.

        Returns:
            The number of each, 0 for those without one yet.
        """
        self._go_on_to(seconds)
        settled = [track for track in self._tracks if track.number]
        young = [track for track in self._tracks if not track.number]
        left, found = list(range(len(seen))), [0] * len(seen)
        self._match(settled, seen, left, found, steer=True)
        self._match(young, seen, left, found, steer=False)
        born = [_Track(seen[index]) for index in left]
        for track, index in zip(born, left, strict=True):
            found[index] = self._settle(track)
        self._tracks += born
        self._forget()
        return found

    def _go_on_to(self, seconds: float) -> None:
        if self._now is not None and seconds < self._now - _BACK:
            self.reset()
        passed = 0.0 if self._now is None else max(seconds - self._now, 0.0)
        self._now = seconds if self._now is None else max(seconds, self._now)
        # Nobody looked meanwhile: what was in the last image is not hidden, the network is slow.
        known = {False: self.memory, True: max(self.memory, _SLOWEST)}
        self._tracks = [
            track
            for track in self._tracks
            if self._now - track.last_seen <= known[track.misses == 0]
        ]
        for track in self._tracks:
            track.predict(passed)

    def _match(
        self,
        tracks: list[_Track],
        seen: Sequence[Observation],
        left: list[int],
        found: list[int],
        steer: bool,
    ) -> None:
        """Give observations of `left` to tracks; those that are given leave it."""
        if not tracks:
            return
        pairs = assign(costs(_predicted(tracks), _observed([seen[index] for index in left])))
        before = [(track.filter.value.copy(), track.filter.rate.copy()) for track in tracks]
        for row, column in pairs:
            tracks[row].update(seen[left[column]])
            found[left[column]] = self._settle(tracks[row])
        taken = {row for row, _ in pairs}
        missed = [track for row, track in enumerate(tracks) if row not in taken]
        for track in missed:
            track.misses += 1
        if steer and len(pairs) >= _HELPERS:
            _steer(missed, [(tracks[row], *before[row]) for row, _ in pairs])
        given = {column for _, column in pairs}
        left[:] = [index for column, index in enumerate(left) if column not in given]

    def _settle(self, track: _Track) -> int:
        assert self._now is not None
        track.last_seen = self._now
        if not track.number and track.hits >= self.min_hits:
            track.number = next(self._numbers)
        return track.number

    def _forget(self) -> None:
        """Let go of tracks that were just glimpsed, and of the longest unseen of too many."""
        self._tracks = [
            track
            for track in self._tracks
            if (track.number and track.misses <= _MOST_MISSES) or track.misses <= 2
        ]
        if len(self._tracks) > MOST_TRACKS:
            self._tracks.sort(key=lambda track: (track.misses, -track.hits))
            del self._tracks[MOST_TRACKS:]


def _scaled(box: np.ndarray, point: np.ndarray, size: float) -> np.ndarray:
    """(7,) of what is in units of a box's size, and of what is in metres."""
    return np.concatenate([box * size, point])


def _measured(seen: Observation) -> np.ndarray:
    """(7,) what an observation measures."""
    point = np.full(3, np.nan) if seen.point is None else seen.point
    return np.concatenate([seen.box, point])


def _predicted(tracks: Sequence[_Track]) -> Places:
    values = np.array([track.filter.value for track in tracks])
    errors = np.array([track.filter.error for track in tracks])
    names = [track.class_name for track in tracks]
    return Places(values[:, :4], errors[:, :2], values[:, 4:], errors[:, 4:], names)


def _observed(seen: Sequence[Observation]) -> Places:
    values = np.array([_measured(one) for one in seen]).reshape(-1, 7)
    zeros = np.zeros((len(seen), 3))
    names = [one.class_name for one in seen]
    return Places(values[:, :4], zeros[:, :2], values[:, 4:], zeros, names)


def _steer(
    hidden: Sequence[_Track], matched: Sequence[tuple[_Track, np.ndarray, np.ndarray]]
) -> None:
    """Let hidden objects take part in what most of the others did unforeseen: the camera turned.

    In the image all move alike then, in space by an angle: in proportion to the distance.

    Args:
        hidden: tracks without an observation.
        matched: tracks with one, and their values and rates before it was taken in.
    """
    values = np.array([track.filter.value - value for track, value, _ in matched])
    rates = np.array([track.filter.rate - rate for track, _, rate in matched])
    ahead = np.array([track.filter.value[6] for track, _, _ in matched])
    for track in hidden:
        scale = np.zeros((len(matched), 7))
        scale[:, :2] = 1.0
        scale[:, 4:6] = (track.filter.value[6] / ahead)[:, None]
        moves = [np.median(np.nan_to_num(part * scale), axis=0) for part in (values, rates)]
        track.filter.move(*moves)
