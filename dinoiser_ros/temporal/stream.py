# SPDX-License-Identifier: Apache-2.0
"""The pictures and masks of one camera: which mask holds for the newest picture."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np

from .coverage import Coverage
from .motion_track import FlowStep, MotionTrack, flow_step
from .optical_flow import DenseFlow, flow_picture, flow_size, look_up
from .propagation import carry, contour_distance
from .smoothing import MaskSmoother
from .windows import Urgency, Window

MAX_AGE = 10.0  # seconds that a mask is carried for: whatever infers them may have stopped
MAX_GAP = 1.5  # seconds without a picture, after which nothing is known of the motion
# Correlation of a picture with the one before, moved to it; with less it is a cut. Simulated drives
# had a median of 0.9, noise included, pictures of different places 0.48 at most.
LEAST_SIMILARITY = 0.5


@dataclass(frozen=True)
class Mask:
    """What is known of one picture.

    Attributes:
        labels: (H, W) uint8 or uint16.
        confidence: (H, W) float32 in [0, 1].
        unlabeled: the id of no class.
        context: what the labels mean and how they were made; masks of another one are not fused.
    """

    labels: np.ndarray
    confidence: np.ndarray
    unlabeled: int
    context: Hashable


@dataclass
class _Picture:
    """A picture as the flow is measured on it, with its time in seconds and full size."""

    grey: np.ndarray
    time: float
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        return self.grey.shape[0], self.grey.shape[1]


@dataclass
class _Awaited:
    """A picture that is being segmented.

    Attributes:
        picture: itself.
        track: from the newest picture to it; None once that is unknown.
        to_held: from it to the picture of the mask that was held then; None if unknown.
        held_time: when that one was taken.
    """

    picture: _Picture
    track: MotionTrack | None
    to_held: MotionTrack | None
    held_time: float


@dataclass
class _Held:
    """The last mask, its contours, when its picture was taken, and the motion since."""

    mask: Mask
    contours: np.ndarray
    time: float
    track: MotionTrack = field(repr=False)

    def carried(self, track: MotionTrack, time: float) -> Mask:
        """The mask at a picture taken at `time`, along a track from there."""
        mask = self.mask
        labels, confidence = carry(
            mask.labels, mask.confidence, self.contours, track, time - self.time
        )
        return replace(mask, labels=labels, confidence=confidence)


class MaskStream:
    """Follows the motion in a camera's pictures and carries masks along it.

    The network may be given a window of a picture instead of the whole: what it says of that is put
    into the mask held so far.

    Memory is bounded: the newest picture, the one being segmented and two tracks at the flow's
    resolution, and the last mask. Use it from one thread.
    """

    def __init__(self) -> None:
        self._flow = DenseFlow()
        self._smoother = MaskSmoother()
        self._coverage = Coverage()
        self._windows = False
        self._newest: _Picture | None = None
        self._awaited: _Awaited | None = None
        self._held: _Held | None = None

    @property
    def holds_mask(self) -> bool:
        """Whether there is a mask that `carried` can carry to the newest picture."""
        return self._held is not None

    @property
    def held_time(self) -> float | None:
        """When the picture of the last mask was taken, in seconds; None without one."""
        return None if self._held is None else self._held.time

    @property
    def urgency(self) -> Urgency | None:
        """Where the network should look next; None if at a whole picture. See `use_windows`."""
        newest, held = self._newest, self._held
        if newest is None or not self._coverage.known:
            return None
        contours = None if held is None else look_up(held.contours, held.track.field)
        return self._coverage.urgency(newest.size, contours)

    def use_windows(self, wanted: bool) -> None:
        """Whether to follow what the network has seen, for `urgency`; at first that is not done."""
        self._windows = wanted
        if not wanted:
            self._coverage.reset()

    def reset(self) -> None:
        """Forget everything; a mask that is being computed will not be carried."""
        self._newest = self._awaited = None
        self.forget_masks()

    def forget_masks(self) -> None:
        """Forget the masks, but follow the motion on."""
        self._held = None
        self._smoother.reset()
        self._coverage.reset()
        if self._awaited is not None:
            self._awaited.to_held = None

    def picture(self, rgb: np.ndarray, time: float) -> bool:
        """Follow the motion to the next picture.

        Args:
            rgb: (H, W, 3) uint8.
            time: when it was taken, in seconds.

        Returns:
            Whether it continues the pictures before; False after a cut, a jump in time or another
            size of the picture, which forget all masks.
        """
        if self._newest is not None and self._newest.time >= time:
            return True  # `begin` was faster
        return self._follow(_Picture(flow_picture(rgb), time, (rgb.shape[0], rgb.shape[1])))

    def begin(self, rgb: np.ndarray, time: float, window: Window | None = None) -> None:
        """A picture goes to the network: one that was given to `picture`, or will not be.

        Args:
            rgb: (H, W, 3) uint8.
            time: when it was taken, in seconds.
            window: what of it the network gets; None: all.
        """
        start = _Picture(flow_picture(rgb), time, (rgb.shape[0], rgb.shape[1]))
        if self._newest is None or time > self._newest.time:
            self._follow(start)
        newest = self._newest
        assert newest is not None, "it was given just now, or before"
        held = self._held
        to_held = None if held is None else held.track.copy()
        track: MotionTrack | None = MotionTrack(newest.shape)
        if time < newest.time:  # the motion was followed further already
            onward = self._step(start, newest)
            if onward is None:
                track = to_held = None
            else:
                track.extend(onward)  # type: ignore[union-attr]
            back = self._step(newest, start)
            if to_held is not None and back is not None:
                to_held.extend(back)
        self._awaited = _Awaited(start, track, to_held, held.time if held else time)
        if track is None:
            self._coverage.reset()
        elif self._windows:
            field = track.field if time < newest.time else None
            age = newest.time - time
            self._coverage.look(newest.shape, start.size, window, age, field)

    def result(
        self, mask: Mask, time: float, smooth: bool, window: Window | None = None
    ) -> Mask | None:
        """The network's answer: hold it from now on.

        Args:
            mask: of the picture that was last given to `begin`, or of the window of it.
            time: of that picture.
            smooth: whether to fuse it with the masks before.
            window: as given to `begin`.

        Returns:
            The mask of that picture, fused if so asked. None if it is one of a window, and there
            is no mask of the same kind that it could be put into.
        """
        awaited, self._awaited = self._awaited, None
        if awaited is None or awaited.picture.time != time:
            awaited = None
        around = None
        if window is not None:
            around = self._around(mask, awaited)
            if around is None:
                self.forget_masks()
                return None
        mask = self._fused(mask, awaited, smooth, window, around)
        track = None if awaited is None else awaited.track
        self._held = None
        if track is not None:
            contours = contour_distance(mask.labels, track.shape)
            self._held = _Held(mask, contours, time, track)
        return mask

    def _around(self, mask: Mask, awaited: _Awaited | None) -> Mask | None:
        """The mask held, carried to the awaited picture, if a window's mask can be put into it."""
        held = self._held
        if awaited is None or awaited.to_held is None or held is None:
            return None
        if held.mask.context != mask.context or held.mask.labels.shape != awaited.picture.size:
            return None
        return held.carried(awaited.to_held, awaited.picture.time)

    def carried(self) -> Mask | None:
        """The last mask at the newest picture; None if there is none that can be carried there."""
        held, newest = self._held, self._newest
        if held is None or newest is None or newest.size != held.mask.labels.shape:
            return None
        if newest.time - held.time > MAX_AGE:
            return None
        return held.carried(held.track, newest.time)

    def _follow(self, picture: _Picture) -> bool:
        older, self._newest = self._newest, picture
        step = None if older is None else self._step(older, picture)
        if step is None:
            self.forget_masks()
            if self._awaited is not None:
                self._awaited.track = None
            return False
        assert older is not None, "there is a step from it"
        self._coverage.extend(step, picture.time - older.time)
        if self._held is not None:
            self._held.track.extend(step)
        if self._awaited is not None and self._awaited.track is not None:
            self._awaited.track.extend(step)
        return True

    def _step(self, older: _Picture, newer: _Picture) -> FlowStep | None:
        """The motion from one picture to another; None if they do not belong together."""
        if older.size != newer.size or abs(newer.time - older.time) > MAX_GAP:
            return None
        step = flow_step(self._flow, older.grey, newer.grey)
        return step if step.similarity >= LEAST_SIMILARITY else None

    def _fused(
        self,
        mask: Mask,
        awaited: _Awaited | None,
        smooth: bool,
        window: Window | None,
        around: Mask | None,
    ) -> Mask:
        """A mask as it is held: a window's within what is known `around` it, and fused if asked."""
        if smooth:
            mask = self._smoothed(mask, awaited, window, around)
        else:
            self._smoother.reset()
        if window is None or around is None:
            return mask
        window.of(around.labels)[:] = mask.labels
        window.of(around.confidence)[:] = mask.confidence
        return around

    def _smoothed(
        self, mask: Mask, awaited: _Awaited | None, window: Window | None, around: Mask | None
    ) -> Mask:
        """A mask, of a window or not, fused with those before."""
        size = mask.labels.shape if around is None else around.labels.shape
        track = None if awaited is None else awaited.to_held
        held = self._held.mask if self._held is not None else None
        if awaited is None or track is None or held is None or held.context != mask.context:
            self._smoother.reset()
            track = MotionTrack(flow_size(*size))
        age = awaited.picture.time - awaited.held_time if awaited is not None else 0.0
        labels, confidence = self._smoother.fuse(
            mask.labels, mask.confidence, mask.unlabeled, track, age, window, size
        )
        return replace(mask, labels=labels, confidence=confidence)
