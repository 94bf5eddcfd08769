# SPDX-License-Identifier: Apache-2.0
"""The objects of one camera: finds, follows and publishes them, each time a mask is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from dinoiser_ros.errors import CameraInfoError, DepthMessageError
from dinoiser_ros.geometry.resampling import nearest_grid
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.msg import InstanceArray
from dinoiser_ros.objects.found import FoundObject, ObjectLimits, find_objects, follow
from dinoiser_ros.objects.instances import Instances
from dinoiser_ros.objects.tracking import Tracker
from dinoiser_ros.ros.segment.publishers import RELIABLE

from .object_classes import object_classes
from .object_messages import detections_3d_message, detections_message, instances_message

if TYPE_CHECKING:
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
    from dinoiser_ros.ros.segment.points.cloud_maker import SegmentedFrame
    from dinoiser_ros.ros.segment.points.depth_view import DepthView

OUTPUTS: dict[str, type] = {
    "detections": Detection2DArray,
    "detections_3d": Detection3DArray,
    "instances": InstanceArray,
}


class CameraObjects:
    """Publishes the objects of one camera; used by one thread at a time.

    Args:
        node: what the publishers belong to.
        topic: the camera's, for reports.
        namespace: where the outputs live, such as "~".
        enabled: the parameter `outputs`.
        view: reads the camera's depth; None without, and then there is no detections_3d.
        statistics: of the camera.
        report: called with (kind, sentence) for what went wrong.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        namespace: str,
        enabled: Sequence[str],
        view: DepthView | None,
        statistics: CameraStatistics,
        report: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._topic = topic
        self._statistics = statistics
        self._report = report
        self._view = view
        self._tracker = Tracker()
        self._publishers: dict[str, Any] = {
            name: node.create_publisher(kind, f"{namespace}/{name}", RELIABLE)
            for name, kind in OUTPUTS.items()
            if name in enabled and (view is not None or name != "detections_3d")
        }

    def have_subscribers(self) -> bool:
        """Whether anybody wants objects."""
        return bool(self._wanted())

    def publish(
        self,
        frame: SegmentedFrame,
        depth: Image | CompressedImage | None,
        info: CameraInfo | None,
        settings: Mapping[str, Any],
    ) -> None:
        """Publish the objects of an image, if somebody wants them.

        Args:
            frame: what was segmented.
            depth, info: of its moment; None if they are not known.
            settings: all parameters.

        Raises:
            DepthMessageError: the depth cannot be read; objects were published without it.
            CameraInfoError: so with the camera_info.
        """
        wanted = self._wanted()
        if not wanted:
            return
        start = time.monotonic()
        fault: DepthMessageError | CameraInfoError | None = None
        space = None
        try:
            if depth is not None and info is not None and self._view is not None:
                try:
                    space = self._space(self._view, frame, depth, info, settings)
                except (DepthMessageError, CameraInfoError) as error:
                    fault = error
            header = Header(stamp=frame.header.stamp, frame_id=frame.header.frame_id)
            if depth is not None and depth.header.frame_id:
                header.frame_id = depth.header.frame_id
            instances, found = self._find(frame, space, settings)
            make: dict[str, Callable[[], Any]] = {
                "detections": lambda: detections_message(found, frame.header),
                "detections_3d": lambda: detections_3d_message(found, header),
                "instances": lambda: instances_message(found, instances.mask, frame.header),
            }
            for name in wanted:
                if name != "detections_3d" or space is not None:
                    self._publishers[name].publish(make[name]())
        except ImportError as error:
            self._failed(f"{error}; install OpenCV and SciPy (python3-opencv, python3-scipy)")
            return
        except Exception as error:  # whatever a library does with numbers it did not expect
            self._failed(f"{type(error).__name__}: {error}")
            return
        end = time.monotonic()
        self._statistics.objects(end, end - start)
        if fault is not None:
            raise fault

    def destroy(self) -> None:
        """Take the topics away."""
        publishers, self._publishers = self._publishers, {}
        for publisher in publishers.values():
            self._node.destroy_publisher(publisher)

    def _wanted(self) -> list[str]:
        publishers = self._publishers.items()
        return [name for name, publisher in publishers if publisher.get_subscription_count()]

    def _space(
        self,
        view: DepthView,
        frame: SegmentedFrame,
        depth: Image | CompressedImage,
        info: CameraInfo,
        settings: Mapping[str, Any],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Depth and rays of each pixel of the image."""
        size = frame.segmentation.labels.shape
        metres = view.read(depth, info, size, settings["depth_rectified"])
        rays = np.stack([nearest_grid(axis, size) for axis in view.rays()])
        return np.ascontiguousarray(nearest_grid(metres, size)), rays

    def _find(
        self,
        frame: SegmentedFrame,
        space: tuple[np.ndarray, np.ndarray] | None,
        settings: Mapping[str, Any],
    ) -> tuple[Instances, list[FoundObject]]:
        segmentation = frame.segmentation
        names = object_classes(settings["object_classes"], segmentation.classes)
        limits = ObjectLimits(
            settings["object_min_size"],
            settings["object_min_confidence"],
            settings["object_depth_jump"],
        )
        instances, boxes = find_objects(
            segmentation.labels, segmentation.confidence, names, limits, space
        )
        self._tracker.memory = settings["track_memory"]
        # Some drivers leave the stamp at zero: then the moment of publishing has to do.
        seconds = stamp_of(frame) * 1e-9 or time.monotonic()
        return instances, follow(self._tracker, seconds, instances, boxes, names)

    def _failed(self, reason: str) -> None:
        self._statistics.bad("internal", time.monotonic())
        self._report(
            f"objects {self._topic}", f"{self._topic}: objects were not published: {reason}"
        )
