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


def project(
    depth: np.ndarray,
    rays: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    image: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the points of a grid of pixels.

    Args:
        depth: (h, w) float32 metres, NaN where there is none.
        rays: (2, h, w) float32 as `camera_model.ray_directions` has them; finite where the depth
            is.
        labels: (h, w) uint8 or uint16.
        confidence: (h, w) float32 in [0, 1].
        image: (h, w, 3) uint8 RGB.
        out: (h, w) of `POINT`; x, y and z become NaN where the depth is.
    """
    import cv2

    np.multiply(rays[0], depth, out=out["x"])
    np.multiply(rays[1], depth, out=out["y"])
    out["z"] = depth
    # The bytes b, g, r, a of a little-endian number.
    bgra = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGRA)
    np.bitwise_and(bgra.view("<u4")[..., 0], 0xFFFFFF, out=out["rgb"])
    out["class_id"] = labels
    out["confidence"] = confidence


def chosen(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The points of a mask.

    Args:
        points: (h, w) of `POINT`, contiguous.
        mask: (h, w) bool.

    Returns:
        (n,) of `POINT`, row by row.
    """
    # As plain bytes: numpy copies structures field by field, ten times slower.
    plain = points.reshape(-1).view(f"V{POINT.itemsize}")
    found: np.ndarray = plain[mask.reshape(-1)].view(POINT)
    return found
