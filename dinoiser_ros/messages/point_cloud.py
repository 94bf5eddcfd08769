# SPDX-License-Identifier: Apache-2.0
"""Arrays of points to sensor_msgs/PointCloud2."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.geometry.points import POINT

if TYPE_CHECKING:
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header

# Of sensor_msgs/PointField. PCL and RViz read colours as four bytes declared to be a float.
_UINT16, _FLOAT32 = 4, 7


def point_array(height: int, width: int) -> tuple[array[int], np.ndarray]:
    """Room for points that a message can take over without a copy.

    Returns:
        The bytes, all zero, and the same memory as (height, width) of `POINT`.
    """
    # rclpy takes an array('B') over as it is; any other sequence it checks byte by byte.
    data = array("B", [0]) * (height * width * POINT.itemsize)
    return data, np.frombuffer(data, POINT).reshape(height, width)


def organized_cloud(data: array[int], height: int, width: int, header: Header) -> PointCloud2:
    """A cloud in rows and columns of pixels; points that are missing are NaN.

    Args:
        data: of `point_array`, height and width as given there.
        header: used as it is.
    """
    return _cloud(data, height, width, header, dense=False)


def dense_cloud(points: np.ndarray, header: Header) -> PointCloud2:
    """A cloud without rows and without missing points.

    Args:
        points: (n,) of `POINT`; n may be 0.
        header: used as it is.
    """
    data = array("B")
    if len(points):  # an empty array has no memory to look at
        data.frombytes(points.view(np.uint8).data)
    return _cloud(data, 1, len(points), header, dense=True)


def _cloud(data: array[int], height: int, width: int, header: Header, dense: bool) -> PointCloud2:
    from sensor_msgs.msg import PointCloud2, PointField  # the rest is used without ROS, too

    message = PointCloud2(header=header, height=height, width=width, is_dense=dense)
    message.point_step = POINT.itemsize
    message.row_step = POINT.itemsize * width
    for name, (_, offset, *_) in (POINT.fields or {}).items():
        datatype = _UINT16 if name == "class_id" else _FLOAT32
        message.fields.append(PointField(name=name, offset=offset, datatype=datatype, count=1))
    message.data = data
    return message
