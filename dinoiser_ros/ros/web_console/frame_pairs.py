# SPDX-License-Identifier: Apache-2.0
"""Bringing an image, its mask and its confidence together by their stamps. No ROS is imported."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

MOST_IMAGES = 120  # that wait for their masks: four seconds of a fast camera
MOST_BYTES = 128 * 2**20
_PATIENCE = 2.0  # seconds without a mask, after which images are shown alone
_MOST_PATIENCE = 60.0


class Group(NamedTuple):
    """What belongs together: messages, or None for what is missing."""

    image: Any
    mask: Any = None
    confidence: Any = None


class FramePairs:
    """Holds images until their masks come; messages go in, groups come out.

    Stamps are nanoseconds; `now` is monotonic seconds.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[int, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._mask: tuple[int, Any] | None = None
        self._confidence: tuple[int, Any] | None = None
        self._last_mask = float("-inf")
        self._patience = _PATIENCE

    def image(self, stamp: int, message: Any, size: int, now: float) -> Group | None:
        """An image came; `size` is its bytes. It comes out alone where no masks come."""
        self._forget(stamp)
        self._images[stamp] = message, size
        self._bytes += size
        while len(self._images) > 1 and (
            len(self._images) > MOST_IMAGES or self._bytes > MOST_BYTES
        ):
            self._forget(next(iter(self._images)))
        if now - self._last_mask > self._patience:
            return Group(message)
        return self._complete(wait=True)

    def mask(self, stamp: int, message: Any, now: float, with_confidence: bool) -> Group | None:
        """A mask came; `with_confidence` says whether its confidence is still to come."""
        before = self._complete(wait=False)  # its confidence was lost
        if self._last_mask > float("-inf"):  # a slow method: images alone would only flicker
            self._patience = min(max(_PATIENCE, 3.0 * (now - self._last_mask)), _MOST_PATIENCE)
        self._last_mask = now
        self._mask = stamp, message
        return self._complete(wait=with_confidence) or before

    def confidence(self, stamp: int, message: Any) -> Group | None:
        """A confidence came."""
        self._confidence = stamp, message
        return self._complete(wait=True)

    def _complete(self, wait: bool) -> Group | None:
        """The group of the mask that waits; with `wait` only if its confidence is there."""
        if self._mask is None or self._mask[0] not in self._images:
            return None
        stamp, mask = self._mask
        fitting = self._confidence is not None and self._confidence[0] == stamp
        if wait and not fitting:
            return None
        image = self._images[stamp][0]
        confidence = self._confidence[1] if self._confidence is not None and fitting else None
        self._mask = None
        for old in list(self._images):
            self._forget(old)
            if old == stamp:
                break
        return Group(image, mask, confidence)

    def _forget(self, stamp: int) -> None:
        entry = self._images.pop(stamp, None)
        if entry is not None:
            self._bytes -= entry[1]
