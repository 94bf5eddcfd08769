# SPDX-License-Identifier: Apache-2.0
"""Rays lead back to their pixels, by the formulas of the distortion models written out."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoiser_ros.geometry.camera_model import CameraModel, ray_directions

PLUMB_BOB = (-0.28, 0.07, 0.0006, -0.0004, 0.002)
RATIONAL = (0.6, -2.6, 0.0007, -0.0002, 1.5, 0.48, -2.4, 1.4)
EQUIDISTANT = (0.08, -0.02, 0.005, -0.001)


def plain(**changes: Any) -> CameraModel:
    return dataclasses.replace(CameraModel(64, 48, 50.0, 52.0, 31.0, 24.0), **changes)


def naive_pixel(camera: CameraModel, x: float, y: float) -> tuple[float, float]:
    """Where a point (x, y, 1) is seen; formulas of OpenCV's documentation."""
    k = camera.coefficients
    if camera.distortion == "equidistant":
        r = math.hypot(x, y)
        angle = math.atan(r)
        bent = angle * (1 + sum(c * angle ** (2 * i + 2) for i, c in enumerate(k)))
        scale = bent / r if r > 1e-12 else 1.0
        x, y = x * scale, y * scale
    elif camera.distortion:
        k1, k2, p1, p2, k3 = k[:5]
        k4, k5, k6 = k[5:8] if len(k) > 5 else (0.0, 0.0, 0.0)
        r2 = x * x + y * y
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )
    return camera.fx * x + camera.cx, camera.fy * y + camera.cy


@pytest.mark.parametrize(
    ("distortion", "coefficients"),
    [
        ("", ()),
        ("plumb_bob", PLUMB_BOB),
        ("rational_polynomial", RATIONAL),
        ("equidistant", EQUIDISTANT),
    ],
)
def test_rays_lead_back_to_their_pixels(distortion: str, coefficients: tuple[float, ...]) -> None:
    camera = plain(distortion=distortion, coefficients=coefficients)
    rays = ray_directions(camera)
    assert rays.shape == (2, 48, 64) and rays.dtype == np.float32
    for row in range(0, 48, 5):
        for column in range(0, 64, 7):
            u, v = naive_pixel(camera, *map(float, rays[:, row, column]))
            assert (u, v) == pytest.approx((column, row), abs=0.06)


def test_pixels_that_no_ray_leads_to_have_none() -> None:
    """Beyond the fold of a strong barrel distortion, and behind a fisheye of 180 degrees."""
    folded = plain(distortion="plumb_bob", coefficients=(-0.9, 0.0, 0.0, 0.0, 0.0))
    wide = plain(fx=12.0, fy=12.0, distortion="equidistant", coefficients=(0.0,) * 4)
    for camera in (folded, wide):
        rays = ray_directions(camera)
        assert np.isnan(rays[:, 0, 0]).all()
        assert np.isfinite(rays[:, 20:28, 26:36]).all()


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_resized_camera_sees_the_same(width: int, height: int) -> None:
    camera = plain()
    resized = camera.scaled(width, height)
    assert (resized.width, resized.height) == (width, height)
    # The corners of the image, half a pixel before the first pixel's centre, stay where they are.
    for u, v in ((-0.5, -0.5), (63.5, 47.5)):
        x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        corner = naive_pixel(resized, x, y)
        expected = ((u + 0.5) * width / 64 - 0.5, (v + 0.5) * height / 48 - 0.5)
        assert corner == pytest.approx(expected, abs=1e-6)


def test_a_part_of_an_image_keeps_its_rays() -> None:
    camera = plain()
    part = camera.cropped(10, 5, 20, 30)
    np.testing.assert_allclose(ray_directions(part), ray_directions(camera)[:, 5:35, 10:30])
