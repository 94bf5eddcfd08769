# SPDX-License-Identifier: Apache-2.0
"""Dense optical flow between two pictures, at low resolution.

A *displacement field* is (h, w, 2) float32, x and y in pixels: what is at a place p of the one
picture is at p + field[p] of the other.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

LONGER_SIDE = (96, 320)  # pixels, least and greatest
# OpenCV chooses the levels of its pyramid by the longer side, and crashes where the shorter one has
# no pixel left on them.
LEAST_SIDE = 32


def flow_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which the flow of a picture is measured, about its shape."""
    longer = max(height, width)
    scale = min(max(longer, LONGER_SIDE[0]), LONGER_SIDE[1]) / longer
    return max(LEAST_SIDE, round(height * scale)), max(LEAST_SIDE, round(width * scale))


def flow_picture(rgb: np.ndarray) -> np.ndarray:
    """A picture as the flow is measured on it: small and grey.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (h, w) uint8, of `flow_size`.
    """
    height, width = flow_size(*rgb.shape[:2])
    small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


class DenseFlow:
    """Dense inverse search (Kroeger et al., arXiv 1603.03590) as OpenCV has it.

    Keeps buffers: one object for each thread.
    """

    def __init__(self) -> None:
        create = cv2.DISOpticalFlow_create  # type: ignore[attr-defined]  # not in its stubs
        self._dis = create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The displacement field from one picture to another, both (h, w) uint8 of one size."""
        return np.asarray(self._dis.calc(first, second, None))


@functools.lru_cache(maxsize=8)
def grid(height: int, width: int) -> np.ndarray:
    """(height, width, 2) float32, x and y of every pixel; not to be written to."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    places = np.stack([x, y], axis=-1)
    places.flags.writeable = False
    return places


def look_up(values: np.ndarray, field: np.ndarray) -> np.ndarray:
    """`values` at p + field[p] for every pixel p, interpolated; beyond an edge, the edge's value.

    Args:
        values: (h, w) or (h, w, 2) float32.
        field: (h, w, 2) float32.

    Returns:
        An array of the shape of `values`.
    """
    places = grid(*field.shape[:2]) + field
    return np.asarray(
        cv2.remap(values, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    )


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The field of going along `first` and then along `second`; beyond an edge it goes on alike."""
    composed: np.ndarray = first + look_up(second, first)
    return composed


def forward_backward_error(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """How far a pixel ends from where it started, (h, w) float32 in pixels (Sundaram et al. 2010).

    Args:
        there: (h, w, 2), from the first picture to the second.
        back: (h, w, 2), from the second to the first.
    """
    error: np.ndarray = np.linalg.norm(compose(there, back), axis=-1)
    return error
