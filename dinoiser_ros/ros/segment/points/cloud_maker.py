# SPDX-License-Identifier: Apache-2.0
"""A segmentation and the depth of its image as the clouds that somebody wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from std_msgs.msg import Header

from dinoiser_ros.geometry.points import PointGrid, packed_colours
from dinoiser_ros.geometry.resampling import nearest_grid, present_ids
from dinoiser_ros.geometry.surfaces import Surfaces
from dinoiser_ros.messages.point_cloud import dense_cloud, organized_cloud

from .class_groups import ClassGroup, class_ids
from .cloud_publishers import POINTS
from .depth_view import DepthView

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

    from dinoiser_ros.segmentation import Segmentation


@dataclass(frozen=True)
class SegmentedFrame:
    """An image that was segmented.

    Attributes:
        segmentation: of the image.
        image: (H, W, 3) uint8 RGB.
        header: of the image's message.
    """

    segmentation: Segmentation
    image: np.ndarray
    header: Header


class CloudMaker:
    """Makes the clouds of one camera.

    Args:
        view: reads its depth.
        groups: the groups of classes that have a cloud.
    """

    def __init__(self, view: DepthView, groups: Sequence[ClassGroup]) -> None:
        self._view = view
        self._groups = {group.topic: group for group in groups}
        self._surfaces = Surfaces()
        self._grid = PointGrid()
        self._bgra: np.ndarray = np.empty((0, 0, 4), np.uint8)

    def clouds(
        self,
        frame: SegmentedFrame,
        depth_message: Image | CompressedImage,
        info: CameraInfo,
        wanted: Sequence[str],
        settings: Mapping[str, Any],
    ) -> Iterator[tuple[str, PointCloud2]]:
        """The wanted clouds of a frame.

        Args:
            frame: what was segmented.
            depth_message: the depth of its image.
            info: the camera_info of both.
            wanted: topics, of `CloudPublishers.wanted`.
            settings: the parameters that begin with "points_" and "depth_", and "border_erosion".

        Yields:
            Topic and cloud; it has the stamp of the image and the frame_id of the depth.

        Raises:
            DepthMessageError: the depth cannot be read, or shows another view than the image.
            CameraInfoError: so does the camera_info.
        """
        labels = frame.segmentation.labels
        depth = self._view.read(depth_message, info, labels.shape, settings["depth_rectified"])
        step = int(settings["points_decimation"])
        part = np.ascontiguousarray(depth[::step, ::step])
        if self._bgra.shape[:2] != frame.image.shape[:2]:
            self._bgra = np.empty((*frame.image.shape[:2], 4), np.uint8)
        colours = packed_colours(frame.image, self._bgra)
        sources = (labels, frame.segmentation.confidence, colours)
        grids = [nearest_grid(source, depth.shape, step) for source in sources]
        self._grid.project(part, self._view.rays(step), *grids)
        header = Header(stamp=frame.header.stamp)
        header.frame_id = depth_message.header.frame_id or frame.header.frame_id
        groups = [self._groups[topic] for topic in wanted if topic in self._groups]
        if groups:
            self._surfaces.measure(depth, settings["border_erosion"], settings["depth_edge"])
            labels = nearest_grid(labels, depth.shape)
            present = present_ids(labels)
        for group in groups:
            ids = present.intersection(class_ids(group, frame.segmentation.classes)[0])
            mask = self._mask(ids, labels)[::step, ::step]
            yield group.topic, dense_cloud(self._grid, mask, header)
        if POINTS in wanted and settings["points_organized"]:
            yield POINTS, organized_cloud(self._grid, header)
        elif POINTS in wanted:
            yield POINTS, dense_cloud(self._grid, np.isfinite(part), header)

    def _mask(self, ids: Iterable[int], labels: np.ndarray) -> np.ndarray:
        """(H, W) bool: the pixels of some classes that can be relied on."""
        mask = np.zeros(labels.shape, bool)
        for number in ids:
            self._surfaces.add_trusted(labels, number, mask)
        return mask
