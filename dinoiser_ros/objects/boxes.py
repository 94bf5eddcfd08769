# SPDX-License-Identifier: Apache-2.0
"""Where an object is in space: a box along the axes of the optical frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TAIL = 0.02  # share of the points, at either end of each axis, that the box leaves out
_ENOUGH = 2000  # points that a box is computed from
_FEWEST = 10  # points that a box can be computed from


@dataclass(frozen=True)
class Box3D:
    """A box in the optical frame, in metres.

    Attributes:
        centre: (3,) of the box.
        size: (3,) total, along x, y and z.
        point: (3,) the median of the object's points, which a few wrong ones do not move.
    """

    centre: np.ndarray
    size: np.ndarray
    point: np.ndarray


def box_in_space(depth: np.ndarray, rays: np.ndarray, inside: np.ndarray) -> Box3D | None:
    """The box around what is seen of an object: its side towards the camera.

    Args:
        depth: (H, W) float32 metres, NaN where there is none.
        rays: (2, H, W) float32 as `geometry.camera_model.ray_directions` has them.
        inside: (H, W) bool, the pixels of the object.

    Returns:
        None if the depth of too few of them is known.
    """
    places = np.flatnonzero(inside & np.isfinite(depth) & np.isfinite(rays[0]))
    if len(places) < _FEWEST:
        return None
    places = places[:: -(-len(places) // _ENOUGH)]
    z = depth.reshape(-1)[places]
    flat = rays.reshape(2, -1)[:, places]
    points = np.sort(np.stack([flat[0] * z, flat[1] * z, z]).astype(np.float64), axis=1)
    last = len(places) - 1
    low, middle, high = (points[:, round(q * last)] for q in (_TAIL, 0.5, 1 - _TAIL))
    return Box3D((low + high) / 2, high - low, middle)
