# SPDX-License-Identifier: Apache-2.0
"""Depth messages in metres, with the viewing rays of their pixels, or why that cannot be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from dinoiser_ros.errors import CameraInfoError, DepthMessageError
from dinoiser_ros.geometry.camera_model import CameraModel, ray_directions
from dinoiser_ros.geometry.resampling import same_view
from dinoiser_ros.messages.camera_info import camera_from_message
from dinoiser_ros.messages.depth import metres_from_message

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image


class DepthView:
    """Reads the depth of one camera; remembers its rays.

    Args:
        depth_topic: whose name tells, with depth_rectified auto, whether depth is rectified.

    Attributes:
        rays: (2, h, w) float32 of the last call of `look`.
        no_ray: (H, W) bool, pixels of the depth without a ray; None if all have one.
    """

    def __init__(self, depth_topic: str) -> None:
        self._named_rectified = _is_named_rectified(depth_topic)
        self._view: tuple[CameraModel, int] | None = None
        self.rays = np.empty((2, 0, 0), np.float32)
        self.no_ray: np.ndarray | None = None

    def metres(self, message: Image | CompressedImage, image_size: tuple[int, ...]) -> np.ndarray:
        """A depth message of an image of (H, W) pixels, as (h, w) float32 metres of its own.

        Raises:
            DepthMessageError: it cannot be read, or shows another view than the image.
        """
        depth = metres_from_message(message)
        height, width = image_size[:2]
        if not same_view(depth.shape, (height, width)):
            raise DepthMessageError(
                "depth_size",
                f"the depth is {_by(depth.shape)} and the image {width}x{height}: publish depth "
                "that is registered to the image",
            )
        return depth

    def look(
        self, info: CameraInfo, depth_size: tuple[int, ...], rectified: str, step: int = 1
    ) -> None:
        """Have the rays of each pixel of a depth image, or of one in `step`, ready.

        Args:
            rectified: the parameter depth_rectified.

        Raises:
            CameraInfoError: no ray can be computed, or it is of another view.
        """
        whether = self._named_rectified if rectified == "auto" else rectified == "on"
        camera = camera_from_message(info, whether)
        height, width = depth_size[:2]
        if not same_view((camera.height, camera.width), (height, width)):
            raise CameraInfoError(
                f"the camera_info is of {camera.width}x{camera.height} pixels and the depth of "
                f"{_by(depth_size)}: name the camera_info of the camera that depth is registered to"
            )
        camera = camera.scaled(width, height)
        if (camera, step) == self._view:
            return
        rays = ray_directions(camera)
        missing = np.isnan(rays[0])
        self.no_ray = missing if missing.any() else None
        self.rays = np.ascontiguousarray(rays[:, ::step, ::step])
        self._view = camera, step


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


def _is_named_rectified(topic: str) -> bool:
    """Whether a topic's name says so, as image_pipeline's do: image_rect, image_rect_raw."""
    return re.search(r"(?:^|[/_])rect(?:ified)?(?:[/_]|$)", topic) is not None
