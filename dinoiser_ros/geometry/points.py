# SPDX-License-Identifier: Apache-2.0
"""Depth, rays, labels and colours of a grid of pixels as an array of points."""

from __future__ import annotations

import numpy as np

POINT = np.dtype(
    {
        "names": ["x", "y", "z", "rgb", "class_id", "confidence"],
        "formats": ["<f4", "<f4", "<f4", "<u4", "<u2", "<f4"],
        "offsets": [0, 4, 8, 12, 16, 20],
        "itemsize": 24,
    }
)
"""One point: metres in the optical frame, colour as 0x00RRGGBB, class id, confidence in [0, 1]."""


def packed_colours(image: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Colours as the field "rgb" has them: 0x00RRGGBB.

    Args:
        image: (H, W, 3) uint8 RGB.
        out: (H, W, 4) uint8 to write into.

    Returns:
        (H, W) uint32, a view of `out`.
    """
    import cv2

    # The bytes b, g, r, a of a little-endian number.
    cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGRA, dst=out)
    colours: np.ndarray = out.view("<u4")[..., 0]
    colours &= 0xFFFFFF
    return colours


class PointGrid:
    """The points of a grid of pixels; its memory is kept from image to image.

    Attributes:
        points: (h, w) of `POINT`, those of the last image.
    """

    def __init__(self) -> None:
        self.points: np.ndarray = np.empty((0, 0), POINT)

    def project(
        self,
        depth: np.ndarray,
        rays: np.ndarray,
        labels: np.ndarray,
        confidence: np.ndarray,
        colours: np.ndarray,
    ) -> None:
        """Replace the points.

        Args:
            depth: (h, w) float32 metres, NaN where there is none.
            rays: (2, h, w) float32 as `camera_model.ray_directions` has them; finite where the
                depth is.
            labels: (h, w) uint8 or uint16.
            confidence: (h, w) float32 in [0, 1].
            colours: (h, w) uint32 of `packed_colours`.
        """
        if self.points.shape != depth.shape:
            self.points = np.zeros(depth.shape, POINT)
        points = self.points
        np.multiply(rays[0], depth, out=points["x"])
        np.multiply(rays[1], depth, out=points["y"])
        points["z"] = depth
        points["rgb"] = colours
        points["class_id"] = labels
        points["confidence"] = confidence

    def choose(self, places: np.ndarray, out: np.ndarray) -> None:
        """Copy some of the points.

        Args:
            places: (n,) intp, indices into the grid row by row.
            out: (n,) of `POINT`.
        """
        # As plain bytes: numpy copies structures field by field, ten times slower.
        plain = f"V{POINT.itemsize}"
        self.points.reshape(-1).view(plain).take(places, out=out.view(plain), mode="clip")
