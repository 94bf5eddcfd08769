# SPDX-License-Identifier: Apache-2.0
"""Drives through rooms that no model was trained on, with objects that are hidden for a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.classes import CLASS_IDS, OBJECT_IDS, UNLABELLED
from dinoiser_ros.sim.drive import SimulatedRobot
from dinoiser_ros.sim.patrol import PatrolRobot

SIZE = (640, 480)
RATE = 10.0  # frames per second
HIDDEN = 1.0  # seconds that an object is hidden
_FIRST, _EVERY = 3.0, 3.0  # seconds: when the first object is hidden, and how often
_NEARER = 0.3  # metres from the board that hides an object to it
_BOARD = np.array([205, 203, 198])  # colour: a board as white as a wall


@dataclass(frozen=True)
class TrueFrame:
    """A frame of a drive with its truth.

    Attributes:
        seconds: since the start.
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8, of `sim.classes`.
        instances: (H, W) uint8, indices into `class_of`, 255 for none.
        depth: (H, W) float32 metres, NaN in the sky.
        class_of: (256,) uint8, the class of each instance.
        fovy: vertical field of view in degrees.
        hidden: the instance behind the board, None for none.
    """

    seconds: float
    rgb: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    depth: np.ndarray
    class_of: np.ndarray
    fovy: float
    hidden: int | None = None


def drive(kind: str, seed: int, seconds: float) -> Iterator[TrueFrame]:
    """The frames of a drive.

    Every few seconds the largest object that is wholly in the picture is hidden for a second by a
    board that moves with it: in the picture, the labels and the depth.

    Args:
        kind: "patrol": straight lines at 0.5 m/s and turns at 0.5 rad/s; "loop": a curve at
            0.6 m/s with a gaze that sways.
        seed: of the world.
        seconds: how long it takes.
    """
    target, until = None, 0.0
    following = _FIRST
    for frame in _rendered(kind, seed, seconds):
        if frame.seconds >= following:
            target, until = _largest(frame), frame.seconds + HIDDEN
            following += _EVERY
        if target is not None and frame.seconds >= until:
            target = None
        yield frame if target is None else _behind_board(frame, target)


def _rendered(kind: str, seed: int, seconds: float) -> Iterator[TrueFrame]:
    count = round(seconds * RATE)
    if kind == "patrol":
        with PatrolRobot(seed, *SIZE) as patrol:
            for number in range(count):
                yield _true(patrol.frame(number / RATE, depth=True), number / RATE)
    else:
        with SimulatedRobot(seed, *SIZE, rate=RATE) as robot:
            for number in range(count):
                yield _true(robot.frame(), number / RATE)


def _true(frame: RenderedFrame, seconds: float) -> TrueFrame:
    class_of = np.full(256, UNLABELLED, np.uint8)
    class_of[: len(frame.things)] = [thing.class_id for thing in frame.things]
    depth = np.where(np.isfinite(frame.depth), frame.depth, np.nan).astype(np.float32)
    return TrueFrame(seconds, frame.rgb, frame.labels, frame.instances, depth, class_of, frame.fovy)


def _largest(frame: TrueFrame) -> int | None:
    """The largest object that does not touch the picture's border; None without one."""
    counts = np.bincount(frame.instances.ravel(), minlength=256)
    edges = (frame.instances[[0, -1]], frame.instances[:, [0, -1]])
    counts[np.concatenate([edge.ravel() for edge in edges])] = 0
    counts[~np.isin(frame.class_of, OBJECT_IDS)] = 0
    largest = int(counts.argmax())
    return largest if 500 < counts[largest] < frame.instances.size // 4 else None


def _behind_board(frame: TrueFrame, target: int) -> TrueFrame:
    mask = frame.instances == target
    if not mask.any():
        return replace(frame, hidden=target)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = 6
    board = (
        slice(max(rows[0] - margin, 0), rows[-1] + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + margin),
    )
    rgb, labels = frame.rgb.copy(), frame.labels.copy()
    instances, depth = frame.instances.copy(), frame.depth.copy()
    rgb[board], labels[board] = _BOARD, CLASS_IDS["white wall"]
    instances[board] = UNLABELLED
    depth[board] = max(float(np.nanmin(frame.depth[board])) - _NEARER, 0.1)
    return replace(frame, rgb=rgb, labels=labels, instances=instances, depth=depth, hidden=target)
