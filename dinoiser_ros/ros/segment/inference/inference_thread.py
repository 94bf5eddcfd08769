# SPDX-License-Identifier: Apache-2.0
"""The inference thread: newest frames in, published results out, outside the executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.ros.segment.monitoring.statistics import latency_of
from dinoiser_ros.ros.segment.monitoring.throttled_log import ReportOnce
from dinoiser_ros.ros.segment.propagation.inferred import Inferred
from dinoiser_ros.ros.segment.propagation.publishing_gate import PublishingGate
from dinoiser_ros.temporal.window_shares import window_shares

from .frame_queue import FrameQueue
from .memory import HeapTrimmer
from .pending_frame import PendingFrame, read_frame
from .recovery import Recovery

if TYPE_CHECKING:
    from rclpy.clock import Clock
    from sensor_msgs.msg import CompressedImage, Image

    from dinoiser_ros.ros.segment.class_numbering import ClassNumbering
    from dinoiser_ros.ros.segment.image_subscription import ImageSubscription
    from dinoiser_ros.ros.segment.points.depth_buffer import DepthMatch
    from dinoiser_ros.ros.segment.propagation.propagation_thread import PropagationThread
    from dinoiser_ros.segmentation import Segmentation, Segmenter
    from dinoiser_ros.temporal.windows import Window

T = TypeVar("T")


class InferenceThread:
    """Segments the newest frame of each camera and publishes the results.

    Nothing else changes the vocabulary or options while it runs, and only the propagation thread
    publishes results, too: those of the classes in the last LabelInfo. Hence every mask is
    described by the LabelInfo published before it.

    Args:
        segmenter: with prompts set.
        cameras: at least one.
        settings: values of the node's parameters.
        numbering: the ids of the classes in use.
        clock: the node's, for latencies and stamps.
        report: called with (kind, sentence) for what went wrong with a frame.
        device_lost: called with a sentence, once, when the device can no longer be used; no frame
            is taken from then on.

    Attributes:
        gate: what whoever publishes results passes.
        propagation: gets the frames and results if masks are to be carried or fused; None, the
            default, if they never are.
        settings, numbering: replaced as a whole, by calls that run in the thread.
        segmenter: as given.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        cameras: Sequence[ImageSubscription],
        settings: Mapping[str, Any],
        numbering: ClassNumbering,
        clock: Clock,
        report: Callable[[str, str], None],
        device_lost: Callable[[str], None],
    ) -> None:
        self.segmenter = segmenter
        self.settings = dict(settings)
        self.numbering = numbering
        self._cameras = list(cameras)
        self._numbers = {id(camera): number for number, camera in enumerate(cameras)}
        self._clock = clock
        self._report = report
        self._device_lost = device_lost
        self._queue = FrameQueue(len(self._cameras), time.monotonic)
        self._queue.pause()
        self.gate = PublishingGate()
        self.propagation: PropagationThread | None = None
        self._recovery = Recovery(segmenter, self._segment, self._skip, self._stop_for_lost_device)
        self._heap = HeapTrimmer()
        self._report_cuda_graphs = ReportOnce(report, "cuda graphs")
        self._report_engine = ReportOnce(report, "engine")
        self._report_engine(segmenter.engine_problem)
        self._report_world = ReportOnce(report, "world")
        # A daemon: a frame in work must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def put(
        self, camera: ImageSubscription, message: Image | CompressedImage, received: float
    ) -> None:
        """Leave a message; the newest one of a camera replaces the others.

        Args:
            received: monotonic seconds when the message arrived.
        """
        frame = (message, received, camera.expect_depth(message))
        left_out = self._queue.put(self._numbers[id(camera)], frame)
        if left_out is frame:
            camera.statistics.idle()
        elif left_out is not None:
            camera.statistics.dropped(received)

    def call(self, function: Callable[[], T]) -> Future[T]:
        """Run a function between two frames; the future has its result or exception."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except Exception as error:  # handed to the one who waits
                future.set_exception(error)

        if not self._queue.call(run):
            future.set_exception(RuntimeError("the node is being cleaned up: try again later"))
        return future

    def activate(self) -> None:
        """Take frames from now on."""
        self.gate.open()
        self._queue.resume()

    def deactivate(self) -> None:
        """Take and publish no more; when this returns nothing more is published."""
        self.gate.shut()
        for number in self._queue.pause():
            self._cameras[number].statistics.idle()

    def close(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; whether it ended within `timeout` seconds."""
        self.deactivate()
        self._queue.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def publish_label_info(self) -> None:
        """Publish what the class ids mean where that changed; for calls that run in the thread."""
        with self.gate.passing():
            for camera in self._cameras:
                camera.publishers.publish_label_info(
                    self.numbering.classes,
                    self.segmenter.confidence_threshold,
                    self._clock.now().to_msg(),
                )

    def _run(self) -> None:
        while True:
            work = self._queue.take(self._period)
            if work is None:
                return
            calls, taken = work
            for call in calls:
                call()
            try:
                self._process([(self._cameras[number], *frame) for number, frame in taken])
            except Exception as error:  # the thread is the node: it outlives whatever a frame does
                self._report("internal", f"a frame was skipped: {type(error).__name__}: {error}")

    def _period(self) -> float:
        rate = float(self.settings["max_rate"])
        return 1.0 / rate if rate > 0 else 0.0

    def _process(
        self, taken: Sequence[tuple[ImageSubscription, Any, float, DepthMatch | None]]
    ) -> None:
        """Read and segment messages; what has one size, of images of one size, is one batch."""
        batches: dict[tuple[int, ...], list[PendingFrame]] = {}
        for camera, message, received, depth in taken:
            frame = self._read(camera, message, received, depth)
            if frame is not None:
                frame.window = self._window(frame)
                key = (*frame.image.shape, *frame.given.shape)
                if not self._recovery.batching:
                    key = (len(batches),)
                batches.setdefault(key, []).append(frame)
        if self.propagation is not None:
            # All of them now: a batch waits for those before, and what was seen long ago cannot be
            # followed.
            for frame in (frame for batch in batches.values() for frame in batch):
                self.propagation.begin(frame)
        for batch in batches.values():
            self._segment(batch)

    def _read(
        self,
        camera: ImageSubscription,
        message: Image | CompressedImage,
        received: float,
        depth: DepthMatch | None,
    ) -> PendingFrame | None:
        """A message as a frame; None if nobody wants it or it cannot be read."""
        if not self.settings["run_without_subscribers"] and not camera.have_subscribers():
            camera.statistics.idle()
            return None
        camera.statistics.wanted(time.monotonic())
        try:
            return read_frame(camera, message, received, depth)
        except ImageMessageError as error:
            self._bad(camera, error.kind, str(error))
            return None

    def _window(self, frame: PendingFrame) -> Window | None:
        """What of an image the network gets, if not all of it."""
        share = float(self.settings["inference_window"])
        if self.propagation is None or share >= 1 or self.settings["rate_mode"] != "propagate":
            return None
        segmenter = self.segmenter
        size = frame.image.shape[:2]
        lengths = [segmenter.window_length(size, part) for part in window_shares(share)]
        return self.propagation.window(frame, lengths, (segmenter.vocabulary, segmenter.options))

    def _segment(self, batch: Sequence[PendingFrame]) -> None:
        """Segment and publish frames of one size, or windows of them."""
        start = time.monotonic()
        try:
            results = self.segmenter.segment_batch(
                [frame.given for frame in batch], batch[0].image.shape[:2]
            )
        except Exception as error:  # out of memory, a picture the engine refuses, ...
            self._recovery.recover(batch, error)
            return
        inference = time.monotonic() - start
        self._report_cuda_graphs(self.segmenter.cuda_graphs_problem)
        self._report_engine(self.segmenter.engine_problem)
        for frame, segmentation in zip(batch, results, strict=True):
            try:
                numbered = self.numbering.apply(segmentation)
                if not self._hand_over(frame, numbered, inference):
                    self._publish_directly(frame, numbered, inference)
            except Exception as error:  # one camera's broken output must not cost another its mask
                self._bad(frame.camera, "internal", f"a result was not published: {error!r}")
            if frame.window is None:
                self._watch_world(frame.camera, segmentation)
        self._heap.after_frame(batch[0].image)

    def _hand_over(self, frame: PendingFrame, segmentation: Segmentation, inference: float) -> bool:
        """Leave a result to the propagation thread, if that is to publish it."""
        if self.propagation is None:
            return False
        segmenter = self.segmenter
        return self.propagation.result(
            Inferred(frame, segmentation, segmenter.vocabulary, segmenter.options, inference)
        )

    def _watch_world(self, camera: ImageSubscription, segmentation: Segmentation) -> None:
        """Warn, once, if a camera's latest images are not of the world that the model knows."""
        if camera.statistics.familiar(segmentation.familiar):
            camera.statistics.notice = ""
        else:
            camera.statistics.notice = f"the images do not show {self.segmenter.world}"
            self._report_world(f"{camera.topic}: {camera.statistics.notice}")

    def _publish_directly(
        self, frame: PendingFrame, segmentation: Segmentation, inference: float
    ) -> None:
        """Publish one frame's results, unless the node was deactivated meanwhile.

        Those of a window are given up: nobody holds the mask that they belong to any more.
        """
        if frame.window is not None:
            frame.camera.statistics.inferred(time.monotonic(), inference)
            return
        start = time.monotonic()
        publishers = frame.camera.publishers
        now = self._clock.now()
        with self.gate.passing() as is_open:
            if not is_open:
                frame.camera.statistics.idle()
                return
            publishers.publish_label_info(
                segmentation.classes, self.segmenter.confidence_threshold, now.to_msg()
            )
            size = frame.camera.mask_size(self.settings)
            publishers.publish(segmentation, frame.image, frame.header, self.settings, size)
            end = time.monotonic()
            latency = latency_of(frame.header.stamp, self._clock.now().nanoseconds)
            frame.publish_more(segmentation, self.settings)
        frame.camera.statistics.published(
            end,
            latency=latency,
            inference=inference,
            conversion=frame.conversion + end - start,
            overhead=end - frame.received - inference,
        )

    def _stop_for_lost_device(self, sentence: str) -> None:
        if self.gate.is_open:
            self.deactivate()
            self._device_lost(sentence)

    def _skip(self, frame: PendingFrame, sentence: str) -> None:
        self._bad(frame.camera, "inference", sentence)

    def _bad(self, camera: ImageSubscription, kind: str, sentence: str) -> None:
        camera.statistics.bad(kind, time.monotonic())
        self._report(f"{kind} {camera.topic}", f"{camera.topic}: {sentence}")
