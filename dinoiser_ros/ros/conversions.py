"""Arrays to image messages; the other direction is in `dinoiser_ros.encodings`."""

from __future__ import annotations

from array import array

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dinoiser_ros.encodings import image_fields

_PART = 1 << 20  # bytes


def image_message(pixels: np.ndarray, encoding: str, header: Header | None = None) -> Image:
    """Wrap an array as a sensor_msgs/Image.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or uint16, H >= 1; laid out as `encoding` says.
        encoding: a name of sensor_msgs/image_encodings, e.g. "rgb8", "mono8", "mono16".
        header: used as it is (stamp and frame_id unchanged); None leaves an empty header.
    """
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
