# SPDX-License-Identifier: Apache-2.0
"""Which pixels of a class lie on its own surface, and which have the depth of something else.

A mask ends a few pixels beside its object. There it takes the depth of the wall behind, and the
points would hang between object and wall. Pixels at a border of the class are therefore trusted
only where the border is a depth edge and they are in front of it; pixels behind a depth edge are
not trusted at all. So a thin pole stays, and its fringe goes.
"""

from __future__ import annotations

import numpy as np

_FAR = 1e6  # metres: where nothing was measured there is nothing near
_NO_SLOPE = _FAR / 2  # from a pixel to one without a measurement


class Surfaces:
    """The depth edges of one depth image at a time.

    Memory is kept from image to image: where fresh memory is as slow as in a virtual machine it
    would take longer than the arithmetic.
    """

    def __init__(self) -> None:
        self._radius = 0
        self._near: np.ndarray = np.empty((0, 0), np.float32)

    def measure(self, depth: np.ndarray, radius: int, edge: float) -> None:
        """Look at a depth image; `add_trusted` is about it from now on.

        Args:
            depth: (H, W) float32 in metres, NaN where there is none.
            radius: how far from a border or an edge pixels are doubted, in pixels; 0: not at all.
            edge: difference in depth that makes an edge, as a share of the distance. The slope of
                the surface comes on top, so that a floor seen at a flat angle has no edges.
        """
        import cv2

        self._make_room(depth.shape)
        self._radius = radius
        np.copyto(self._near, depth)
        cv2.patchNaNs(self._near, _FAR)
        np.less(self._near, _FAR, out=self._measured)
        if radius == 0:
            return
        tolerance, behind = self._reach, self._scratch
        self._slope(tolerance)
        tolerance *= radius
        np.multiply(self._near, np.float32(edge), out=behind)
        tolerance += behind
        np.subtract(self._near, tolerance, out=behind)
        cv2.erode(self._near, self._kernel(), dst=self._other)
        np.greater_equal(self._other, behind, out=self._in_front)
        self._reach += self._near

    def add_trusted(self, labels: np.ndarray, number: int, mask: np.ndarray) -> None:
        """Add the pixels of a class whose points can be relied on to a mask.

        Args:
            labels: (H, W) class ids.
            number: the class.
            mask: (H, W) bool; becomes true at such pixels, all of which have a depth.
        """
        import cv2

        np.equal(labels, number, out=self._inside)
        left, top, width, height = cv2.boundingRect(self._inside.view(np.uint8))
        if not width:
            return
        # What decides about these pixels: nothing farther away than the radius.
        box = (
            slice(max(top - self._radius, 0), top + height + self._radius),
            slice(max(left - self._radius, 0), left + width + self._radius),
        )
        inside, found = self._inside[box], self._found[box]
        np.logical_and(inside, self._measured[box], out=found)
        if self._radius > 0:
            # How near anything of another class is: if it is not clearly farther, this pixel is on
            # its surface, or behind it.
            other, nearest = self._other[box], self._scratch[box]
            np.copyto(other, self._near[box])
            np.copyto(other, _FAR, where=inside)
            cv2.erode(other, self._kernel(), dst=nearest)
            np.greater(nearest, self._reach[box], out=inside)
            found &= inside
            found &= self._in_front[box]
        mask[box] |= found

    def _make_room(self, size: tuple[int, ...]) -> None:
        if self._near.shape == size:
            return
        self._near, self._reach, self._other, self._scratch = (
            np.empty(size, np.float32) for _ in range(4)
        )
        self._measured, self._in_front, self._inside, self._found = (
            np.empty(size, bool) for _ in range(4)
        )

    def _kernel(self) -> np.ndarray:
        side = 2 * self._radius + 1
        return np.ones((side, side), np.uint8)

    def _slope(self, out: np.ndarray) -> None:
        """Change of depth from pixel to pixel, of the smoother side, both axes together.

        At an edge one of the two sides is the surface that the pixel is on. A pixel with nothing
        measured on either side counts as flat.
        """
        import cv2

        near, step, smoother = self._near, self._other, self._scratch
        out[:] = 0
        for axis in (0, 1):
            if near.shape[axis] < 2:
                continue
            # OpenCV writes into these views: it takes half of numpy's time for rows with a gap.
            first, last, middle = _along(axis, 1, None), _along(axis, None, -1), _along(axis, 1, -1)
            cv2.absdiff(near[first], near[last], dst=step[first])
            if near.shape[axis] > 2:
                cv2.min(step[_along(axis, 2, None)], step[middle], dst=smoother[middle])
            smoother[_along(axis, 0, 1)] = step[_along(axis, 1, 2)]
            smoother[_along(axis, -1, None)] = step[_along(axis, -1, None)]
            cv2.threshold(smoother, _NO_SLOPE, 0, cv2.THRESH_TOZERO_INV, dst=smoother)
            out += smoother


def _along(axis: int, start: int | None, stop: int | None) -> tuple[slice, slice]:
    """An index of a part of one axis, and all of the other."""
    part = slice(start, stop)
    return (part, slice(None)) if axis == 0 else (slice(None), part)
