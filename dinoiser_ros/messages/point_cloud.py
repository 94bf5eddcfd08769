# SPDX-License-Identifier: Apache-2.0
"""Arrays of points to sensor_msgs/PointCloud2, and back."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.geometry.points import POINT, PointGrid

if TYPE_CHECKING:
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header

# Of sensor_msgs/PointField. PCL and RViz read colours as four bytes declared to be a float.
_UINT16, _FLOAT32 = 4, 7
_BYTES = np.dtype(f"V{POINT.itemsize}")


def organized_cloud(grid: PointGrid, header: Header) -> PointCloud2:
    """The points in rows and columns of pixels; those that are missing are NaN.

    Args:
        grid: with points.
        header: used as it is.
    """
    height, width = grid.points.shape
    data, room = _room(height * width)
    room[:] = grid.points.reshape(-1).view(_BYTES)
    return _cloud(data, height, width, header, dense=False)


def dense_cloud(grid: PointGrid, mask: np.ndarray, header: Header) -> PointCloud2:
    """The points of a mask, row by row.

    Args:
        grid: with points.
        mask: (h, w) bool; each of its points has a depth.
        header: used as it is.
    """
    places = np.flatnonzero(mask)
    data, room = _room(len(places))
    grid.choose(places, room.view(POINT))
    return _cloud(data, 1, len(places), header, dense=True)


def places_of(message: PointCloud2) -> np.ndarray:
    """The points of a cloud of `dense_cloud`: (N, 3) float32 x, y, z in metres."""
    points = np.frombuffer(message.data, POINT)
    places: np.ndarray = np.stack([points["x"], points["y"], points["z"]], axis=1)
    return places


def _room(count: int) -> tuple[array[int], np.ndarray]:
    """Room for points that a message can take over without a copy, as bytes and as an array."""
    # rclpy takes an array('B') over as it is; any other sequence it checks byte by byte.
    data = array("B", [0]) * (count * POINT.itemsize)
    return data, np.frombuffer(data, _BYTES) if count else np.empty(0, _BYTES)


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
