# SPDX-License-Identifier: Apache-2.0
"""Everything that exists between configure and cleanup: model, cameras, inference thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.messages.topic_names import output_namespaces
from dinoiser_ros.ros.segment.inference.inference_thread import InferenceThread
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.monitoring.throttled_log import ReportOnce
from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
from dinoiser_ros.ros.segment.objects.object_classes import missing_objects
from dinoiser_ros.ros.segment.points.camera_points import CameraPoints, PointTopics
from dinoiser_ros.ros.segment.points.class_groups import class_groups, missing_classes
from dinoiser_ros.ros.segment.points.depth_topics import check_mask_size, topics_of_cameras
from dinoiser_ros.ros.segment.points.depth_view import DepthView
from dinoiser_ros.ros.segment.propagation.propagation_thread import PropagationThread

from . import engine
from .class_numbering import ClassNumbering
from .image_subscription import ImageSubscription
from .parameter_changes import ParameterChanges
from .publishers import MAX_CLASS_TOPICS, CameraPublishers

if TYPE_CHECKING:
    import numpy as np
    from rclpy.node import Node
    from sensor_msgs.msg import CompressedImage, Image

    from dinoiser_ros.segmentation import Segmentation, SegmentationClass, Segmenter

T = TypeVar("T")

MAX_8BIT_CLASSES = 254


class Session:
    """What a configured node consists of.

    Args:
        node: publishers and subscriptions belong to it.
        segmenter: with prompts set.
        values: all parameters by name.
        report: called with (kind, sentence) for each thing that went wrong, throttled by the
            caller.
        device_lost: called with a sentence when the device can no longer be used.

    Attributes:
        segmenter: as given.
        cameras: the subscriptions, in the order of the parameter image_topics.
        changes: changes of prompts and other parameters.

    Raises:
        ParameterError: image_topics names one topic twice, or the topics of depth or the groups of
            classes cannot be.
        PromptError: a prompt asks for an id that it cannot have.
    """

    def __init__(
        self,
        node: Node,
        segmenter: Segmenter,
        values: Mapping[str, Any],
        report: Callable[[str, str], None],
        device_lost: Callable[[str], None],
    ) -> None:
        self.segmenter = segmenter
        self._report = report
        report_text_cache = ReportOnce(report, "text cache")
        prompts = engine.resolve_prompts(segmenter, values["prompts"])
        numbering = ClassNumbering(values["id_policy"]).after(prompts, segmenter.classes)
        self._groups = class_groups(values)
        self._missing: dict[str, str | None] = {}  # classes that parameters name and no prompt has
        self.cameras = self._make_cameras(node, values)
        self._thread = InferenceThread(
            segmenter, self.cameras, values, numbering, node.get_clock(), report, device_lost
        )
        self._propagation = PropagationThread(
            self.cameras, self._thread.gate, lambda: self.settings, node.get_clock(), report
        )
        self._thread.propagation = self._propagation
        self.changes = ParameterChanges(
            segmenter,
            self._thread,
            [camera.publishers for camera in self.cameras],
            prompts,
            self._announce_classes,
            report_text_cache,
        )
        for camera in self.cameras:
            if camera.points is not None:
                camera.points.guard = self._thread.gate.while_open
        self._thread.call(self._announce_classes).result()
        report_text_cache(segmenter.text_cache_problem)
        for camera in self.cameras:
            camera.subscribe()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters in force."""
        return self._thread.settings

    @property
    def classes(self) -> tuple[SegmentationClass, ...]:
        """The classes in use, with the ids that messages carry."""
        return self._thread.numbering.classes

    def activate(self) -> None:
        """Segment from now on."""
        for camera in self.cameras:
            camera.last_stamp = 0
            if camera.points is not None:
                camera.points.forget()
        self._propagation.activate()
        self._thread.activate()

    def deactivate(self) -> None:
        """Stop; when this returns nothing more is published."""
        self._thread.deactivate()
        self._propagation.deactivate()

    def close(self, timeout: float | None = None) -> None:
        """End the threads, take the topics away; wait at most `timeout` s for the frame in work."""
        for camera in self.cameras:
            camera.unsubscribe()
            if camera.points is not None:
                camera.points.close()
        self.changes.close()
        ended = self._thread.close(timeout)
        if self._propagation.close(timeout) and ended:
            for camera in self.cameras:
                camera.publishers.destroy()
                for maker in (camera.points, camera.objects):
                    if maker is not None:
                        maker.destroy()

    def between_frames(self, function: Callable[[], T]) -> Future[T]:
        """Run a function that uses the segmenter's networks, before the frames that wait."""
        return self._thread.call(function)

    def segment(self, message: Image | CompressedImage) -> Future[Segmentation]:
        """Segment one image message, before the frames that wait.

        Returns:
            A future of the result, with the ids that messages carry, or of the `ImageMessageError`
            or `DinoiserError`.
        """

        def segment() -> Segmentation:
            segmentation = self.segmenter.segment(rgb_from_message(message))
            return self._thread.numbering.apply(segmentation)

        return self._thread.call(segment)

    def probabilities(
        self, message: Image, longer_side: int
    ) -> Future[tuple[np.ndarray, tuple[SegmentationClass, ...]]]:
        """All classes' probabilities over one image message, before the frames that wait.

        Returns:
            A future of what `Segmenter.probability_grid` gives and of its classes, with the ids
            that messages carry, or of the `ImageMessageError` or `DinoiserError`.
        """

        def compute() -> tuple[np.ndarray, tuple[SegmentationClass, ...]]:
            image = rgb_from_message(message)
            return self.segmenter.probability_grid(image, longer_side), self.classes

        return self._thread.call(compute)

    def _make_cameras(self, node: Node, values: Mapping[str, Any]) -> list[ImageSubscription]:
        topics = [node.resolve_topic_name(topic) for topic in values["image_topics"]]
        if len(set(topics)) < len(topics):
            raise ParameterError(
                f"image_topics names a topic twice ({', '.join(topics)}): name each camera once."
            )
        namespaces = output_namespaces(topics, node.get_name())
        check_mask_size(values, values)
        depth_topics = topics_of_cameras(values, node.resolve_topic_name)
        cameras = []
        for topic, namespace, depth in zip(topics, namespaces, depth_topics, strict=True):
            publishers = CameraPublishers(node, namespace, values["outputs"])
            statistics = CameraStatistics(time.monotonic())
            view = None if depth is None else DepthView(depth[0])
            objects = CameraObjects(
                node,
                topic,
                namespace,
                values["outputs"],
                view,
                statistics,
                self._report,
            )
            points = None
            if depth is not None and view is not None:
                points = CameraPoints(
                    node,
                    PointTopics(*depth, namespace),
                    self._groups,
                    statistics,
                    self._report,
                    partial(getattr, publishers, "announced_classes"),
                    view,
                    objects,
                )
            cameras.append(
                ImageSubscription(
                    node,
                    topic,
                    values["input_type"],
                    publishers,
                    statistics,
                    self._receive,
                    points,
                    objects,
                )
            )
        return cameras

    def _receive(self, camera: ImageSubscription, message: Image | CompressedImage) -> None:
        """Note a camera's message, in the executor, and leave it to the inference thread."""
        now = time.monotonic()
        camera.statistics.received(now)
        fault = camera.check_stamp(message)
        if fault is not None:
            camera.statistics.bad("stamp", now)
            self._report(f"stamp {camera.topic}", fault)
        camera.recent.put(message, now)
        self._propagation.put(camera, message, now)
        self._thread.put(camera, message, now)

    def _announce_classes(self) -> None:
        """Publish what the class ids mean, and warn of limits; runs in the inference thread."""
        classes = len(self.segmenter.classes)
        if classes > MAX_CLASS_TOPICS:
            self._report(
                "topics",
                f"only the first {MAX_CLASS_TOPICS} of {classes} classes have "
                "a topic under ~/masks: use ~/class_masks for all of them",
            )
        if classes > MAX_8BIT_CLASSES:
            self._report(
                "classes",
                f"{classes} classes do not fit 8 bits: masks are mono16 and "
                "65535 is unlabeled; use at most 254 prompts where a mono8 mask is needed",
            )
        faults = {
            "groups": missing_classes(self._groups, self.segmenter.classes),
            "objects": missing_objects(self.settings["object_classes"], self.segmenter.classes),
        }
        for kind, missing in faults.items():
            if missing is not None and missing != self._missing.get(kind):
                self._report(kind, missing)
        self._missing = faults
        self._thread.publish_label_info()
