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
    """Reads the depth of one camera for whoever wants it; remembers the last one, and its rays.

    Args:
        depth_topic: whose name tells, with depth_rectified auto, whether depth is rectified.
    """

    def __init__(self, depth_topic: str) -> None:
        self._named_rectified = _is_named_rectified(depth_topic)
        self._asked: tuple[object, ...] | None = None
        self._messages: tuple[object, ...] = ()
        self._metres = np.empty((0, 0), np.float32)
        self._camera: CameraModel | None = None
        self._rays: dict[int, np.ndarray] = {}  # by step
        self._no_ray: np.ndarray | None = None

    def read(
        self,
        message: Image | CompressedImage,
        info: CameraInfo,
        image_size: tuple[int, ...],
        rectified: str,
    ) -> np.ndarray:
        """The depth of an image, and the rays of its pixels for `rays`.

        Clouds and objects of one image ask for the same: it is computed once.

        Args:
            message, info: the depth and its camera_info.
            image_size: (H, W) of the image that it belongs to.
            rectified: the parameter depth_rectified.

        Returns:
            (h, w) float32 metres in the depth's own size, NaN where there is no depth or no ray;
            not to be changed.

        Raises:
            DepthMessageError: the depth cannot be read, or shows another view than the image.
            CameraInfoError: no ray can be computed, or it is of another view.
        """
        # Messages by identity: comparing them takes longer than reading them. They are kept.
        asked = (id(message), id(info), image_size, rectified)
        if asked != self._asked:
            self._asked, self._messages = None, (message, info)
            metres = _metres(message, image_size)
            self._look(info, metres.shape, rectified)
            if self._no_ray is not None:
                metres[self._no_ray] = np.nan
            metres.flags.writeable = False
            self._metres, self._asked = metres, asked
        return self._metres

    def rays(self, step: int = 1) -> np.ndarray:
        """(2, h, w) float32: the rays of each pixel that was read, or of one in `step`."""
        if step not in self._rays:
            self._rays[step] = np.ascontiguousarray(self._rays[1][:, ::step, ::step])
        return self._rays[step]

    def _look(self, info: CameraInfo, depth_size: tuple[int, ...], rectified: str) -> None:
        whether = self._named_rectified if rectified == "auto" else rectified == "on"
        camera = camera_from_message(info, whether)
        height, width = depth_size[:2]
        if not same_view((camera.height, camera.width), (height, width)):
            raise CameraInfoError(
                f"the camera_info is of {camera.width}x{camera.height} pixels and the depth of "
                f"{_by(depth_size)}: name the camera_info of the camera that depth is registered to"
            )
        camera = camera.scaled(width, height)
        if camera == self._camera:
            return
        rays = ray_directions(camera)
        missing = np.isnan(rays[0])
        self._no_ray = missing if missing.any() else None
        self._camera, self._rays = camera, {1: rays}


def _metres(message: Image | CompressedImage, image_size: tuple[int, ...]) -> np.ndarray:
    depth = metres_from_message(message)
    height, width = image_size[:2]
    if not same_view(depth.shape, (height, width)):
        raise DepthMessageError(
            "depth_size",
            f"the depth is {_by(depth.shape)} and the image {width}x{height}: publish depth "
            "that is registered to the image",
        )
    return depth


def _by(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


def _is_named_rectified(topic: str) -> bool:
    """Whether a topic's name says so, as image_pipeline's do: image_rect, image_rect_raw."""
    return re.search(r"(?:^|[/_])rect(?:ified)?(?:[/_]|$)", topic) is not None
