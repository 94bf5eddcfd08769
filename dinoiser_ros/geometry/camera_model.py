# SPDX-License-Identifier: Apache-2.0
"""A camera's intrinsics and distortion, and the viewing ray of each of its pixels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

# ROS's names of distortion models, and how many coefficients OpenCV takes for each.
COEFFICIENTS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_MAX_ERROR = 0.05  # pixels between a pixel and its ray, projected again; above it the ray is no ray
_STEEPEST = 50.0  # x or y for a z of 1: 89 degrees off the optical axis


@dataclass(frozen=True)
class CameraModel:
    """A pinhole camera with lens distortion, for images of one size.

    Attributes:
        width, height: of the image, in pixels.
        fx, fy, cx, cy: focal lengths and principal point in pixels; the centre of the first pixel
            is (0, 0), as in OpenCV and in sensor_msgs/CameraInfo.
        distortion: one of `COEFFICIENTS`; "" for a rectified image.
        coefficients: of the distortion, in OpenCV's order.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: str = ""
    coefficients: tuple[float, ...] = ()

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 intrinsic matrix K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def scaled(self, width: int, height: int) -> CameraModel:
        """The same camera with its image resized; pixel areas, not pixel centres, are scaled."""
        if (width, height) == (self.width, self.height):
            return self
        x, y = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            width=width,
            height=height,
            fx=self.fx * x,
            fy=self.fy * y,
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> CameraModel:
        """The same camera with a part of its image, in pixels of the whole one."""
        return dataclasses.replace(
            self, width=width, height=height, cx=self.cx - left, cy=self.cy - top
        )


def focal_length(height: int, fovy: float) -> float:
    """In pixels, of a pinhole camera.

    Args:
        height: of its image in pixels.
        fovy: vertical field of view in degrees.
    """
    return float(0.5 * height / np.tan(np.radians(fovy) / 2))


def pinhole(width: int, height: int, fovy: float) -> CameraModel:
    """A camera as simulators have it: square pixels, the principal point in the middle.

    The centre of the first pixel is (0, 0), so the middle is half a pixel before half the size.

    Args:
        width, height: of its image in pixels.
        fovy: vertical field of view in degrees.
    """
    focal = focal_length(height, fovy)
    return CameraModel(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def ray_directions(camera: CameraModel) -> np.ndarray:
    """Where the pixels of a camera look.

    Returns:
        (2, height, width) float32: x / z and y / z of the ray through each pixel's centre; a point
        at depth z is (x, y, 1) * z. NaN where the distortion cannot be undone, as in corners
        outside of what was calibrated.
    """
    columns = np.arange(camera.width, dtype=np.float64)
    rows = np.arange(camera.height, dtype=np.float64)
    if camera.distortion:
        u, v = np.meshgrid(columns, rows)
        rays = _undistorted(camera, np.stack([u.ravel(), v.ravel()], axis=1)).T
        distorted: np.ndarray = rays.reshape(2, camera.height, camera.width).astype(np.float32)
        return distorted
    directions = np.empty((2, camera.height, camera.width), np.float32)
    directions[0] = (columns - camera.cx) / camera.fx
    directions[1] = ((rows - camera.cy) / camera.fy)[:, np.newaxis]
    return directions


def _undistorted(camera: CameraModel, pixels: np.ndarray) -> np.ndarray:
    """(N, 2) pixels to (N, 2) x / z and y / z, NaN where they do not lead back to their pixel."""
    import cv2

    matrix, coefficients = camera.matrix, np.array(camera.coefficients)
    points = np.ascontiguousarray(pixels[:, np.newaxis])
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-5)
    if camera.distortion == "equidistant":
        rays = cv2.fisheye.undistortPoints(points, matrix, coefficients, criteria=criteria)
        again = cv2.fisheye.distortPoints(rays, matrix, coefficients)
    else:
        # OpenCV 5 gave the criteria to the function without "Iter".
        undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
        rays = undistort(points, matrix, coefficients, R=None, P=None, criteria=criteria)
        ahead = np.concatenate([rays, np.ones_like(rays[..., :1])], axis=2)
        again, _ = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, coefficients)
    good = np.abs(again - points).max(axis=(1, 2)) < _MAX_ERROR
    good &= np.abs(rays).max(axis=(1, 2)) < _STEEPEST
    result: np.ndarray = np.where(good[:, np.newaxis], rays[:, 0], np.nan)
    return result
