# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to a camera model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.errors import CameraInfoError
from dinoiser_ros.geometry.camera_model import COEFFICIENTS, CameraModel

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo


def camera_from_message(message: CameraInfo, rectified: bool) -> CameraModel:
    """The camera that took images of the message's resolution, binning and region of interest.

    Args:
        rectified: whether the images were rectified: then the projection matrix P holds and there
            is no distortion; otherwise the intrinsic matrix K and the distortion D do.

    Raises:
        CameraInfoError: an uncalibrated camera, impossible numbers, an unknown distortion.
    """
    numbers = np.asarray(message.p if rectified else message.k, np.float64)
    matrix = numbers.reshape(3, -1)
    fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    name = "P" if rectified else "K"
    if message.width == 0 or message.height == 0:
        raise CameraInfoError(
            f"the camera_info has the size {message.width}x{message.height}: calibrate the camera, "
            "or have its driver publish the size of its images"
        )
    if not (np.isfinite(numbers).all() and fx > 0 and fy > 0):
        raise CameraInfoError(
            f"the camera_info has no focal length in {name} (fx {fx:g}, fy {fy:g}): calibrate the "
            "camera, or set depth_rectified if its images are "
            f"{'not ' if rectified else ''}rectified"
        )
    distortion, coefficients = ("", ()) if rectified else _distortion(message)
    camera = CameraModel(message.width, message.height, fx, fy, cx, cy, distortion, coefficients)
    return _as_published(camera, message)


def _distortion(message: CameraInfo) -> tuple[str, tuple[float, ...]]:
    model, coefficients = message.distortion_model, tuple(float(value) for value in message.d)
    if not any(coefficients):
        return ("equidistant", (0.0,) * 4) if model == "equidistant" else ("", ())
    if model not in COEFFICIENTS:
        raise CameraInfoError(
            f"the distortion model '{model[:40]}' is not known: it has to be one of "
            f"{', '.join(COEFFICIENTS)}, or the images rectified"
        )
    if len(coefficients) not in COEFFICIENTS[model] or not np.isfinite(coefficients).all():
        wanted = " or ".join(map(str, COEFFICIENTS[model]))
        raise CameraInfoError(
            f"'{model}' takes {wanted} finite coefficients, and the camera_info has "
            f"{len(coefficients)} in D: calibrate the camera again"
        )
    return model, coefficients


def _as_published(camera: CameraModel, message: CameraInfo) -> CameraModel:
    """K and P are of the whole sensor; the driver may publish a part of it, and bin its pixels."""
    roi = message.roi
    if roi.width and roi.height:
        camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    columns, rows = max(message.binning_x, 1), max(message.binning_y, 1)
    return camera.scaled(max(camera.width // columns, 1), max(camera.height // rows, 1))
