# SPDX-License-Identifier: Apache-2.0
"""The clouds of one camera: finds the depth of each segmented image, makes, publishes, counts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import CameraInfoError, DepthMessageError
from dinoiser_ros.messages.depth import check_depth
from dinoiser_ros.messages.stamps import stamp_of

from .cloud_maker import CloudMaker, SegmentedFrame
from .cloud_publishers import CloudPublishers
from .depth_buffer import DepthBuffer, DepthMatch
from .depth_input import DepthInput

if TYPE_CHECKING:
    from rclpy.node import Node

    from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
    from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
    from dinoiser_ros.segmentation import SegmentationClass

    from .class_groups import ClassGroup
    from .depth_view import DepthView

_PATIENCE = 0.5  # seconds that a mask waits for a depth message


@dataclass(frozen=True)
class PointTopics:
    """Topics of one camera, fully qualified: depth, camera_info, and where its outputs live."""

    depth: str
    camera_info: str
    outputs: str


@dataclass(frozen=True)
class _Job:
    frame: SegmentedFrame
    match: DepthMatch
    settings: Mapping[str, Any]
    begun: float


class CameraPoints:
    """Makes clouds of one camera's segmented images.

    `publish` is called by the threads that publish masks, one at a time; a depth message that
    arrives later than its mask is made into clouds by the executor, through `guard`.

    Args:
        node: publishers and subscriptions belong to it.
        topics: of the camera.
        groups: the groups of classes that have a cloud.
        statistics: of the camera.
        report: called with (kind, sentence) for what went wrong.
        announced: the classes of the last label info.
        view: reads the camera's depth, for the objects as well.
        objects: of the camera; gets each image with its depth, or without where there is none.

    Attributes:
        guard: runs a function unless the node is inactive, and never two at a time with `publish`.
    """

    def __init__(
        self,
        node: Node,
        topics: PointTopics,
        groups: Sequence[ClassGroup],
        statistics: CameraStatistics,
        report: Callable[[str, str], None],
        announced: Callable[[], tuple[SegmentationClass, ...]],
        view: DepthView,
        objects: CameraObjects,
    ) -> None:
        self.guard: Callable[[Callable[[], None]], None] = lambda function: None
        self._statistics = statistics
        self._report = report
        self._announced = announced
        self._objects = objects
        self._buffer = DepthBuffer()
        self._maker = CloudMaker(view, groups)
        self._publishers = CloudPublishers(node, topics.outputs, groups)
        self._input = DepthInput(node, topics.depth, topics.camera_info, self._receive)
        self._pending: _Job | None = None
        self._sizes_masks = False

    def have_subscribers(self) -> bool:
        """Whether anybody wants a cloud or objects."""
        return bool(self._publishers.wanted()) or self._objects.have_subscribers()

    def expect(self, stamp: int) -> DepthMatch:
        """An image arrived: look for its depth from now on; `stamp` in nanoseconds."""
        self._follow()
        return self._buffer.expect(stamp)

    def follow(self) -> None:
        """Look after subscriptions, and after an image whose depth does not come: every second."""
        self._follow()
        self._input.follow_type()
        if self._pending is not None:
            self.guard(lambda: self._go_on(time.monotonic() - _PATIENCE))

    def publish(
        self, frame: SegmentedFrame, match: DepthMatch, settings: Mapping[str, Any]
    ) -> None:
        """Publish clouds and objects of an image, now or when its depth has arrived.

        Args:
            frame: what was segmented.
            match: of `expect`.
            settings: all parameters.
        """
        self._go_on(time.monotonic())
        if not self.have_subscribers():
            return
        self._pending = _Job(frame, match, settings, time.monotonic())
        self._go_on(0.0)

    def size_of_depth(self, wanted: bool) -> tuple[int, int] | None:
        """Height and width of the depth, from its camera_info; None before the first.

        Args:
            wanted: whether to receive it from now on, clouds or not.
        """
        self._sizes_masks = wanted
        info = self._input.info if wanted else None
        return (info.height, info.width) if info and info.height and info.width else None

    def forget(self) -> None:
        """Let go of an image whose depth has not come."""
        self._pending = None

    def close(self) -> None:
        """Receive nothing more."""
        self._input.close()
        self._buffer.clear()
        self.forget()

    def destroy(self) -> None:
        """Take the topics away."""
        self._publishers.destroy()

    def _follow(self) -> None:
        if self._input.follow(self._sizes_masks or self.have_subscribers()):
            self._buffer.clear()

    def _receive(self, message: Any) -> None:
        """A depth message, in the executor."""
        try:
            check_depth(message)
        except DepthMessageError as error:
            self._bad(error.kind, str(error))
            return
        self._buffer.add(stamp_of(message), message)
        if self._pending is not None:
            self.guard(lambda: self._go_on(0.0))

    def _go_on(self, begun_before: float) -> None:
        """Make what is pending if its depth is known, or has been waited for since then."""
        job = self._pending
        if job is None or not (job.match.final or job.begun <= begun_before):
            return
        self._pending = None
        try:
            self._make(job)
        except DepthMessageError as error:
            self._bad(error.kind, str(error))
        except CameraInfoError as error:
            self._bad("camera_info", str(error), self._input.info_topic)
        except Exception as error:  # whatever a library does with numbers it did not expect
            self._bad("internal", f"points were not published: {type(error).__name__}: {error}")

    def _make(self, job: _Job) -> None:
        wanted = self._publishers.wanted()
        # Prompts that changed meanwhile gave other meanings to the ids.
        if job.frame.segmentation.classes != self._announced():
            return
        if not wanted and not self._objects.have_subscribers():
            return
        depth, info = self._depth_of(job), self._input.info
        # A depth that cannot be used is the clouds' to report, if there are any.
        with contextlib.suppress(*((DepthMessageError, CameraInfoError) if wanted else ())):
            self._objects.publish(job.frame, depth, info, job.settings)
        if depth is None:
            return
        if info is None:
            if self._input.settled:
                raise CameraInfoError("no camera_info arrives: is the topic's name right?")
            return
        if not wanted:
            return
        start = time.monotonic()
        for topic, cloud in self._maker.clouds(job.frame, depth, info, wanted, job.settings):
            self._publishers.publish(topic, cloud)
        end = time.monotonic()
        self._statistics.points(end, end - start)

    def _depth_of(self, job: _Job) -> Any:
        """The depth of an image; None, counted and reported, if there is none."""
        slop = job.settings["depth_slop"]
        depth = job.match.within(slop) if job.match.stamp else None
        if depth is None:
            self._statistics.without_depth(time.monotonic())
            if not job.match.stamp:
                reason = "its stamp is zero: check the camera driver's clock"
            elif job.match.message is None:
                reason = f"nothing arrives on {self._input.depth_topic}: is the camera running?"
            else:
                reason = f"none is within depth_slop ({slop:g} s) of its stamp: raise it, or check "
                reason += "that image and depth have one clock"
            if self._input.settled:
                self._report(f"depth {self._input.depth_topic}", f"an image has no depth, {reason}")
        return depth

    def _bad(self, kind: str, sentence: str, topic: str = "") -> None:
        topic = topic or self._input.depth_topic
        self._statistics.bad(kind, time.monotonic())
        self._report(f"{kind} {topic}", f"{topic}: {sentence}")
