# SPDX-License-Identifier: Apache-2.0
"""Where a surface ends and a farther or nearer one begins, between neighbouring pixels.

A plane is linear in inverse depth, at whatever angle it is seen. So a large step of the inverse
depth is a jump only if neither side goes on with steps like it.
"""

from __future__ import annotations

import numpy as np

_APART = 2  # pixels to the step that is compared: one mixed pixel at an edge does not hide it


def filled(depth: np.ndarray) -> np.ndarray:
    """Depth with its holes closed: each has the value of the nearest pixel that has one.

    Args:
        depth: (H, W) float32 metres, NaN where there is none.

    Returns:
        (H, W) float32; all NaN if nothing was measured.
    """
    import cv2

    holes = ~np.isfinite(depth)
    if not holes.any() or holes.all():
        return depth
    _, nearest = cv2.distanceTransformWithLabels(
        holes.view(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    # A measured pixel is nearest to itself: that tells which pixel a label stands for.
    values = np.zeros(int(nearest.max()) + 1, np.float32)
    values[nearest[~holes]] = depth[~holes]
    result: np.ndarray = values[nearest]
    return result


def jumps(inverse: np.ndarray, axis: int, least: float) -> np.ndarray:
    """Between which neighbours along an axis the depth jumps.

    Args:
        inverse: (H, W) float32, 1 / metres, without holes.
        axis: 0 for neighbours above each other, 1 for those beside each other.
        least: metres that make a jump, measured from where the surface on either side would go on.

    Returns:
        (H - 1, W) or (H, W - 1) bool.
    """
    inverse = np.moveaxis(inverse, axis, 0)
    steps = np.diff(inverse, axis=0)
    surprise = np.abs(steps)  # beside a jump, where both others are no guide
    if len(steps) > _APART:
        change = np.abs(steps[_APART:] - steps[:-_APART])
        np.minimum(surprise[_APART:], change, out=surprise[_APART:])
        np.minimum(surprise[:-_APART], change, out=surprise[:-_APART])
    # A difference of inverse depths, times both depths, is the difference of the depths.
    found = surprise > least * inverse[1:] * inverse[:-1]
    return np.moveaxis(found, 0, axis)
