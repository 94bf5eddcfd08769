# SPDX-License-Identifier: Apache-2.0
"""Grey values of more than 8 bits, brought to 8."""

from __future__ import annotations

import numpy as np

from dinoiser_ros.errors import PictureError

_MOST_OF_12_BITS = 4095


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale grey values to 0..255.

    16-bit values are divided by 256. Where none is above 4095 they are a 12-bit camera's, and are
    divided by 16. Floating-point values are a picture's if they are from 0 to 1.

    Args:
        values: (H, W) uint8, bool, any integer type with values of 16 bits, or float.

    Returns:
        (H, W) uint8.

    Raises:
        PictureError: of kind "depth": values that no picture has, such as distances.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if not (low >= 0.0 and high <= 1.0):  # not a number is neither
            raise _no_picture(low, high, "floating-point pictures have values from 0 to 1")
        return (values * 255.0 + 0.5).astype(np.uint8)
    if low < 0 or high > 0xFFFF:
        raise _no_picture(low, high, "pictures of more than 8 bits have values from 0 to 65535")
    return (values >> (4 if high <= _MOST_OF_12_BITS else 8)).astype(np.uint8)


def _no_picture(low: float, high: float, rule: str) -> PictureError:
    return PictureError("depth", f"it holds values from {low:g} to {high:g}, but {rule}")
