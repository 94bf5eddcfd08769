# SPDX-License-Identifier: Apache-2.0
"""Where somebody points on the page: points or a box, from 0 to 1, as pixels of the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dinoiser_ros.errors import RequestError

MOST_POINTS = 64  # of one request; more are refused everywhere
_BOX_NUMBERS = 4


def region_in_pixels(asked: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The region of a request, in pixels of a picture.

    Args:
        asked: has "points", [[x, y], ...], or "box", [left, top, right, bottom], not both; 0 to 1
            from the left and the upper edge.
        size: height and width of the picture.

    Returns:
        (N, 2) points as x and y, or a (4,) box, float64.

    Raises:
        RequestError: it is something else.
    """
    points, box = asked.get("points"), asked.get("box")
    if (points is None) == (box is None):
        raise RequestError("Point at the class: give points or a box, one of them.")
    height, width = size
    if box is not None:
        return _numbers(box, (_BOX_NUMBERS,)) * [width, height, width, height]
    count = len(points) if isinstance(points, list) else 0
    if count > MOST_POINTS:
        raise RequestError(f"{count} points are too many: give at most {MOST_POINTS}.")
    places = _numbers(points, (count, 2)) * [width, height]
    # The right and the lower edge are the last pixel's.
    inside: np.ndarray = np.minimum(places, np.nextafter([width, height], 0.0))
    return inside


def _numbers(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 0 to 1 in nested lists."""
    try:
        found = np.array(given)
    except ValueError:  # lists of different lengths
        found = np.empty(0, object)
    fits = found.shape == shape and found.size > 0 and found.dtype.kind in "if"
    if not fits or not ((found >= 0) & (found <= 1)).all():
        raise RequestError(
            "A region has numbers from 0 to 1: points [[x, y], ...] or a box "
            "[left, top, right, bottom]."
        )
    return found.astype(np.float64)
