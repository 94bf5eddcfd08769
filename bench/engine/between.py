# SPDX-License-Identifier: Apache-2.0
"""What a picture costs whose mask is carried along the motion, and one whose mask is smoothed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from dinoiser_ros.temporal.stream import Mask, MaskStream

from .report import Section
from .timing import in_turns

_STEP = 2  # pixels that the picture moves by
_PERIOD = 0.1  # seconds between two pictures
_UNLABELED = 255


def time_between(size: tuple[int, int], classes: int, rounds: int, seconds: float) -> Section:
    """Times of `rate_mode: propagate` and `temporal: smooth` for a picture, without inference.

    Args:
        size: height and width.
        classes: of the mask.
    """
    return {
        "a picture": in_turns(
            {"propagate": _propagation(size, classes), "smooth": _smoothing(size, classes)},
            rounds,
            seconds,
        )
    }


def _propagation(size: tuple[int, int], classes: int) -> Callable[[], None]:
    """One picture after the other with the mask of the first."""
    stream, pictures = MaskStream(), _pictures(size)

    def infer() -> None:
        rgb, time = next(pictures)
        stream.begin(rgb, time)
        stream.result(_mask(size, classes), time, smooth=False)

    def run() -> None:
        stream.picture(*next(pictures))
        if stream.carried() is None:  # it has come of age
            infer()

    infer()
    return run


def _smoothing(size: tuple[int, int], classes: int) -> Callable[[], None]:
    """One picture after the other, each with a mask of its own."""
    stream, pictures, mask = MaskStream(), _pictures(size), _mask(size, classes)

    def run() -> None:
        rgb, time = next(pictures)
        stream.begin(rgb, time)
        stream.result(mask, time, smooth=True)

    return run


def _pictures(size: tuple[int, int]) -> Iterator[tuple[np.ndarray, float]]:
    """A picture that moves to and fro, and the times."""
    height, width = size
    random = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    wide = cv2.resize(random, (width + 8 * _STEP, height), interpolation=cv2.INTER_CUBIC)
    number = 0
    while True:
        place = _STEP * abs(number % 16 - 8)
        yield np.ascontiguousarray(wide[:, place : place + width]), _PERIOD * number
        number += 1


def _mask(size: tuple[int, int], classes: int) -> Mask:
    """Rectangles of all classes, half sure."""
    coarse = np.random.default_rng(0).integers(0, classes, (6, 8), np.uint8)
    labels = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST)
    return Mask(labels, np.full(size, 0.5, np.float32), _UNLABELED, "one context")
