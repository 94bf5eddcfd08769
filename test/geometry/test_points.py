# SPDX-License-Identifier: Apache-2.0
"""Points of a grid, one by one."""

from __future__ import annotations

import numpy as np

from dinoiser_ros.geometry.camera_model import CameraModel, ray_directions
from dinoiser_ros.geometry.points import POINT, PointGrid, packed_colours


def test_points_are_those_of_a_pinhole_camera() -> None:
    rng = np.random.default_rng(0)
    height, width = 5, 7
    camera = CameraModel(width, height, 6.0, 5.0, 3.2, 1.9)
    grid = PointGrid()
    for label_type in (np.uint8, np.uint16):  # twice: the memory is used again
        depth = rng.uniform(0.5, 4, (height, width)).astype(np.float32)
        depth[1, 2] = np.nan
        labels = rng.integers(0, np.iinfo(label_type).max, (height, width)).astype(label_type)
        confidence = rng.random((height, width), np.float32)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        colours = packed_colours(image, np.empty((height, width, 4), np.uint8))
        grid.project(depth, ray_directions(camera), labels, confidence, colours)
        for v in range(height):
            for u in range(width):
                point, z = grid.points[v, u], depth[v, u]
                expected = [(u - 3.2) / 6 * z, (v - 1.9) / 5 * z, z]
                np.testing.assert_allclose(list(point)[:3], expected, rtol=1e-6)
                red, green, blue = map(int, image[v, u])
                assert point["rgb"] == red << 16 | green << 8 | blue
                assert (point["class_id"], point["confidence"]) == (labels[v, u], confidence[v, u])


def test_chosen_points_are_copies_in_order() -> None:
    grid = PointGrid()
    grid.points = np.zeros((3, 4), POINT)
    grid.points["x"] = np.arange(12).reshape(3, 4)
    places = np.array([7, 1, 11])
    out = np.zeros(3, POINT)
    grid.choose(places, out)
    assert out["x"].tolist() == [7, 1, 11]
