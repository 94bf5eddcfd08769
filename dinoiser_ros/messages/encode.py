# SPDX-License-Identifier: Apache-2.0
"""Arrays to image messages; the other direction is in `decode`."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

_PART = 1 << 20  # bytes


def image_fields(pixels: np.ndarray, encoding: str) -> dict[str, Any]:
    """The fields of a sensor_msgs/Image, except header and data.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16, H >= 1, contiguous; laid out as `encoding`
            says.
        encoding: a name of sensor_msgs/image_encodings, e.g. "rgb8", "mono8", "mono16".
    """
    height, width = pixels.shape[:2]
    big = pixels.dtype.itemsize > 1 and not _is_little_endian(pixels.dtype)
    step = pixels.nbytes // height
    return {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": int(big),
        "step": step,
    }


def confidence_pixels(confidence: np.ndarray) -> np.ndarray:
    """(H, W) float in [0, 1] to the (H, W) uint8 in 0-255 that costmap layers read."""
    return np.rint(np.asarray(confidence) * 255.0).clip(0, 255).astype(np.uint8)


def image_message(pixels: np.ndarray, encoding: str, header: Header | None = None) -> Image:
    """Wrap an array as a sensor_msgs/Image.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16, H >= 1; laid out as `encoding` says.
        encoding: a name of sensor_msgs/image_encodings, e.g. "rgb8", "mono8", "mono16".
        header: used as it is (stamp and frame_id unchanged); None leaves an empty header.
    """
    from sensor_msgs.msg import Image  # the rest of this file is used without ROS, too

    pixels = np.ascontiguousarray(pixels)
    message = Image(**image_fields(pixels, encoding))
    if header is not None:
        message.header = header
    # rclpy takes an array('B') over as it is; any other sequence it checks byte by byte (100 times
    # slower).
    data = array("B")
    content = pixels.reshape(-1).view(np.uint8).data
    # In parts: between them other threads get Python's lock, which a copy of 48 MB holds for long.
    for start in range(0, len(content), _PART):
        data.frombytes(content[start : start + _PART])
    message.data = data
    return message


def _is_little_endian(dtype: np.dtype) -> bool:
    return bool(dtype.newbyteorder("<") == dtype)
