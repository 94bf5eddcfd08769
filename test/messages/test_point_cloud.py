# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 messages, read back field by field as their readers do."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from dinoiser_ros.geometry.points import POINT, PointGrid
from dinoiser_ros.messages.point_cloud import dense_cloud, organized_cloud

pytest.importorskip("sensor_msgs")
from std_msgs.msg import Header

FORMATS = {4: "<H", 7: "<f"}  # of sensor_msgs/PointField: UINT16, FLOAT32


def grid_of(height: int, width: int) -> PointGrid:
    rng = np.random.default_rng(0)
    grid = PointGrid()
    grid.points = np.zeros((height, width), POINT)
    for name in ("x", "y", "z", "confidence"):
        grid.points[name] = rng.random((height, width))
    grid.points["class_id"] = rng.integers(0, 65535, (height, width))
    grid.points["rgb"] = rng.integers(0, 1 << 24, (height, width))
    return grid


def read(cloud: object, row: int, column: int) -> dict[str, float]:
    """A point's fields, by the message's own description."""
    start = row * cloud.row_step + column * cloud.point_step
    return {
        f.name: struct.unpack_from(FORMATS[f.datatype], cloud.data, start + f.offset)[0]
        for f in cloud.fields
    }


def check(cloud: object, row: int, column: int, point: np.ndarray) -> None:
    found = read(cloud, row, column)
    assert list(found) == ["x", "y", "z", "rgb", "class_id", "confidence"]
    rgb = struct.unpack("<I", struct.pack("<f", found.pop("rgb")))[0]
    assert rgb == point["rgb"]
    for name, value in found.items():
        assert value == point[name], name


def test_an_organized_cloud_has_the_grids_rows() -> None:
    grid = grid_of(3, 4)
    header = Header(frame_id="optical")
    cloud = organized_cloud(grid, header)
    assert (cloud.height, cloud.width, cloud.is_dense) == (3, 4, False)
    assert cloud.header == header and not cloud.is_bigendian
    assert len(cloud.data) == cloud.row_step * cloud.height
    check(cloud, 2, 1, grid.points[2, 1].copy())
    grid.points["x"] = 0  # of the next image
    assert read(cloud, 2, 1)["x"] > 0, "a message keeps its points"


def test_a_dense_cloud_has_the_points_of_a_mask() -> None:
    grid = grid_of(3, 4)
    mask = np.zeros((3, 4), bool)
    mask[0, 2] = mask[2, 3] = True
    cloud = dense_cloud(grid, mask, Header())
    assert (cloud.height, cloud.width, cloud.is_dense) == (1, 2, True)
    assert len(cloud.data) == cloud.row_step == 2 * cloud.point_step
    check(cloud, 0, 0, grid.points[0, 2])
    check(cloud, 0, 1, grid.points[2, 3])


def test_an_empty_cloud_is_a_cloud() -> None:
    """Costmaps take it as "nothing is there any more"; it has all fields, which they look for."""
    cloud = dense_cloud(grid_of(3, 4), np.zeros((3, 4), bool), Header())
    assert (cloud.height, cloud.width, len(cloud.data)) == (1, 0, 0)
    assert len(cloud.fields) == 6 and cloud.point_step == POINT.itemsize
