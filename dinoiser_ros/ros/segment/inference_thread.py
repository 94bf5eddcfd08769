# SPDX-License-Identifier: Apache-2.0
"""The inference thread: newest frames in, published results out, outside the executor."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages.decode import rgb_from_message

from .engine import (
    free_device_memory,
    free_host_memory,
    is_device_lost,
    is_out_of_memory,
    reduce_resolution,
)
from .frame_queue import Inbox

if TYPE_CHECKING:
    from rclpy.clock import Clock

    from dinoiser_ros.segmentation import Segmentation, Segmenter

    from .image_subscription import Camera

# Seconds; more than that is a stamp of another clock (a played bag, a robot's uptime).
MAX_LATENCY = 3600.0
HUGE = 24_000_000  # bytes of a picture: 8 million pixels
TIDY_EVERY = 30.0  # seconds


@dataclass
class Frame:
    """An image on its way through the thread.

    Attributes:
        camera: whose it is.
        header: the message's.
        image: (H, W, 3) uint8 RGB.
        received: monotonic seconds when the message arrived.
        conversion: seconds spent on messages so far.
    """

    camera: Camera
    header: Any
    image: np.ndarray
    received: float
    conversion: float


class Worker:
    """Segments the newest frame of each camera and publishes the results.

    Nothing else publishes results, changes the vocabulary or changes options while it runs; hence
    every mask is described by the LabelInfo published before it.

    Args:
        segmenter: with prompts set.
        cameras: at least one.
        settings: values of the node's parameters.
        clock: the node's, for latencies and stamps.
        report: called with (kind, sentence) for what went wrong with a frame.
        device_lost: called with a sentence, once, when the device can no longer be used; no frame
            is taken from then on.

    Attributes:
        settings: replaced as a whole, by calls that run in the thread.
        segmenter: as given.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        cameras: Sequence[Camera],
        settings: Mapping[str, Any],
        clock: Clock,
        report: Callable[[str, str], None],
        device_lost: Callable[[str], None],
    ) -> None:
        self.segmenter = segmenter
        self.settings = dict(settings)
        self._cameras = list(cameras)
        self._numbers = {id(camera): number for number, camera in enumerate(cameras)}
        self._clock = clock
        self._report = report
        self._device_lost = device_lost
        self._inbox = Inbox(len(self._cameras), time.monotonic)
        self._inbox.pause()
        self._publishing = threading.Lock()
        self._active = False
        self._was_huge = False
        self._tidied = time.monotonic()
        self._reported_cuda_graphs = False
        self._batching = True  # until the device's memory was too small for it
        # A daemon: a frame in work must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def put(self, camera: Camera, message: Any, now: float) -> None:
        """Leave a message that arrived `now`; the newest one of a camera replaces the others."""
        frame = (message, now)
        left_out = self._inbox.put(self._numbers[id(camera)], frame)
        if left_out is frame:
            camera.statistics.idle()
        elif left_out is not None:
            camera.statistics.dropped(now)

    def call(self, function: Callable[[], Any]) -> Future:
        """Run a function between two frames; the future has its result or exception."""
        future: Future = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except Exception as error:  # handed to the one who waits
                future.set_exception(error)

        if not self._inbox.call(run):
            future.set_exception(RuntimeError("the node is being cleaned up: try again later"))
        return future

    def activate(self) -> None:
        """Take frames from now on."""
        self._active = True
        self._inbox.resume()

    def deactivate(self) -> None:
        """Take and publish no more; when this returns nothing more is published."""
        with self._publishing:
            self._active = False
        for number in self._inbox.pause():
            self._cameras[number].statistics.idle()

    def close(self, timeout: float | None = None) -> bool:
        """End the thread after the frame in work; whether it ended within `timeout` seconds."""
        self.deactivate()
        self._inbox.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def describe(self) -> None:
        """Publish what the class ids mean where that changed; for calls that run in the thread."""
        for camera in self._cameras:
            camera.outputs.describe(
                self.segmenter.classes,
                self.segmenter.confidence_threshold,
                self._clock.now().to_msg(),
            )

    def _run(self) -> None:
        while True:
            work = self._inbox.take(self._period)
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
        rate = self.settings["max_rate"]
        return 1.0 / rate if rate > 0 else 0.0

    def _process(self, taken: list[tuple[Camera, Any, float]]) -> None:
        groups: dict[tuple, list[Frame]] = {}
        for camera, message, received in taken:
            frame = self._read(camera, message, received)
            if frame is not None:
                key = frame.image.shape if self._batching else (len(groups),)
                groups.setdefault(key, []).append(frame)
        for group in groups.values():
            self._segment(group)

    def _read(self, camera: Camera, message: Any, received: float) -> Frame | None:
        """A message as a frame; None if nobody wants it or it cannot be read."""
        if not self.settings["run_without_subscribers"] and not camera.outputs.wanted():
            camera.statistics.idle()
            return None
        start = time.monotonic()
        camera.statistics.wanted(start)
        try:
            image = rgb_from_message(message)
        except ImageMessageError as error:
            self._bad(camera, error.kind, str(error))
            return None
        except Exception as error:  # whatever a library does with a message it did not expect
            self._bad(camera, "internal", f"an image could not be read: {error!r}")
            return None
        return Frame(camera, message.header, image, received, time.monotonic() - start)

    def _segment(self, group: list[Frame]) -> None:
        """Frames of one size, as one batch."""
        start = time.monotonic()
        try:
            results = self.segmenter.segment_batch([frame.image for frame in group])
        except Exception as error:  # out of memory, a picture the engine refuses, ...
            self._recover(group, error)
            return
        inference = time.monotonic() - start
        self._report_cuda_graphs()
        for frame, segmentation in zip(group, results, strict=True):
            try:
                self._publish(frame, segmentation, inference)
            except Exception as error:  # one camera's broken output must not cost another its mask
                self._bad(frame.camera, "internal", f"a result was not published: {error!r}")
        self._tidy_memory(group[0].image)

    def _report_cuda_graphs(self) -> None:
        """Say once why frames take longer than they could: nothing else is wrong then."""
        problem = self.segmenter.cuda_graphs_problem
        if problem is not None and not self._reported_cuda_graphs:
            self._reported_cuda_graphs = True
            self._report("cuda graphs", problem)

    def _tidy_memory(self, image: np.ndarray) -> None:
        """Give back what the C library keeps of memory that was freed: once huge pictures are over,
        and now and then, since what pictures and prompts of many sizes leave behind adds up.
        """
        huge, now = image.nbytes > HUGE, time.monotonic()
        if not huge and (self._was_huge or now - self._tidied > TIDY_EVERY):
            free_host_memory()
            self._tidied = now
        self._was_huge = huge

    def _recover(self, group: list[Frame], error: Exception) -> None:
        """Try a failed batch one by one; skip a failed frame, out of memory try smaller ones.

        A lost device would fail every frame from now on: none is taken any more.
        """
        if is_device_lost(error):
            self._give_up(group, error)
            return
        full = is_out_of_memory(error)
        if full:
            self._batching = False
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that fill it
            free_device_memory()
        if len(group) > 1:
            for frame in group:
                self._segment([frame])
            return
        advice = ""
        if full:
            size = reduce_resolution(self.segmenter)
            advice = f"; inference_size is {size} until it is set again" if size else ""
        self._bad(
            group[0].camera, "inference", f"an image was skipped: {_first_line(error)}{advice}"
        )

    def _give_up(self, group: list[Frame], error: Exception) -> None:
        for frame in group:
            frame.camera.statistics.bad("device", time.monotonic())
        if self._active:
            self.deactivate()
            self._device_lost(
                f"the device '{self.segmenter.device}' failed ({_first_line(error)}): look at "
                "nvidia-smi and the kernel's log, then start the node again"
            )

    def _publish(self, frame: Frame, segmentation: Segmentation, inference: float) -> None:
        start = time.monotonic()
        outputs = frame.camera.outputs
        now = self._clock.now()
        with self._publishing:
            if not self._active:
                frame.camera.statistics.idle()
                return
            outputs.describe(
                segmentation.classes, self.segmenter.confidence_threshold, now.to_msg()
            )
            outputs.publish(segmentation, frame.image, frame.header, self.settings)
        end = time.monotonic()
        frame.camera.statistics.published(
            end,
            latency=self._latency(frame.header.stamp),
            inference=inference,
            conversion=frame.conversion + end - start,
            overhead=end - frame.received - inference,
        )

    def _latency(self, stamp: Any) -> float | None:
        """Seconds since a stamp, None if the stamp is of another clock."""
        nanoseconds = self._clock.now().nanoseconds - (stamp.sec * 10**9 + stamp.nanosec)
        seconds = nanoseconds * 1e-9
        return seconds if 0.0 <= seconds <= MAX_LATENCY else None

    def _bad(self, camera: Camera, kind: str, sentence: str) -> None:
        camera.statistics.bad(kind, time.monotonic())
        self._report(f"{kind} {camera.topic}", f"{camera.topic}: {sentence}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
