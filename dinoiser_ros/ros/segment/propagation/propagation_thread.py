# SPDX-License-Identifier: Apache-2.0
"""The thread that carries and fuses masks, beside the one that infers them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.ros.segment.inference.frame_queue import FrameQueue
from dinoiser_ros.ros.segment.inference.pending_frame import PendingFrame, read_frame

from .inferred import Inferred
from .publishing_gate import PublishingGate

if TYPE_CHECKING:
    from rclpy.clock import Clock
    from sensor_msgs.msg import CompressedImage, Image

    from dinoiser_ros.ros.segment.image_subscription import ImageSubscription
    from dinoiser_ros.ros.segment.points.depth_buffer import DepthMatch
    from dinoiser_ros.temporal.windows import Window

    from .camera_masks import CameraMasks


MOST_RESULTS = 2  # that wait; a faster network waits for this thread
_PATIENCE = 2.0  # seconds that it waits


def wanted(settings: Mapping[str, Any]) -> bool:
    """Whether the parameters ask for masks that are carried or fused."""
    return bool(settings["rate_mode"] == "propagate" or settings["temporal"] == "smooth")


class PropagationThread:
    """Gets every image of each camera, the newest first, and every result of the network.

    It publishes in the place of the inference thread while `wanted`. Whatever fails here is
    reported, and the result is published as the network gave it. OpenCV is loaded when masks are
    first wanted: a node that carries none starts without it.

    Args:
        cameras: at least one.
        gate: shared with the inference thread.
        settings: gives the parameters in force.
        clock: the node's.
        report: called with (kind, sentence) for what went wrong.
    """

    def __init__(
        self,
        cameras: Sequence[ImageSubscription],
        gate: PublishingGate,
        settings: Callable[[], Mapping[str, Any]],
        clock: Clock,
        report: Callable[[str, str], None],
    ) -> None:
        self._cameras = list(cameras)
        self._numbers = {id(camera): number for number, camera in enumerate(cameras)}
        self._clock = clock
        self._masks: list[CameraMasks] = []  # one for each camera, once they are wanted
        self._loading = threading.Lock()
        self._gate = gate
        self._settings = settings
        self._report = report
        self._room = threading.Semaphore(MOST_RESULTS)
        self._queue = FrameQueue(len(self._cameras), time.monotonic)
        self._queue.pause()
        self._thread = threading.Thread(target=self._run, name="propagation", daemon=True)
        self._thread.start()

    def put(
        self, camera: ImageSubscription, message: Image | CompressedImage, received: float
    ) -> None:
        """Leave a message; the newest one of a camera replaces the others."""
        if self._is_wanted():
            frame = (message, received, camera.expect_depth(message))
            self._queue.put(self._numbers[id(camera)], frame)

    def window(
        self, frame: PendingFrame, lengths: Sequence[int], making: tuple[object, ...]
    ) -> Window | None:
        """What of an image the network should get, so that its camera's masks profit most.

        Args:
            lengths: that windows may have, see `choose_window`.
            making: what masks depend on besides the images; the first image with another is needed
                as a whole.

        Returns:
            The window; None: all of the image.
        """
        if not self._is_wanted():
            return None
        masks = self._masks[self._numbers[id(frame.camera)]]
        return masks.window(frame, lengths, making)

    def begin(self, frame: PendingFrame) -> None:
        """A frame goes to the network."""
        if self._is_wanted():
            self._call(frame.camera, lambda masks: masks.begin(frame))

    def result(self, inferred: Inferred) -> bool:
        """The network's answer; False if whoever has it is to publish it."""
        settings = self._settings()
        if not self._is_wanted() or not self._room.acquire(timeout=_PATIENCE):
            return False

        def give() -> None:
            self._room.release()
            fine = self._guarded(masks, lambda masks: masks.result(inferred, settings))
            if not fine and inferred.frame.window is None:
                self._guarded(masks, lambda masks: masks.publish_inferred(inferred, settings))

        masks = self._masks[self._numbers[id(inferred.frame.camera)]]
        if self._queue.call(give):
            return True
        self._room.release()
        return False

    def activate(self) -> None:
        """Take images, from a fresh start."""
        for masks in self._masks:
            self._call(masks.camera, lambda masks: masks.reset())
        self._queue.resume()

    def deactivate(self) -> None:
        """Take no more images."""
        self._queue.pause()

    def close(self, timeout: float | None = None) -> bool:
        """End the thread; whether it ended within `timeout` seconds."""
        self._queue.close()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _is_wanted(self) -> bool:
        """Whether masks are to be carried or fused, and can be."""
        return wanted(self._settings()) and self._loaded()

    def _loaded(self) -> bool:
        """Whether there are `_masks`; makes them the first time, and says why if that fails."""
        with self._loading:
            if not self._masks:
                try:
                    from .camera_masks import CameraMasks
                except ImportError as error:
                    self._report(
                        "propagation",
                        f"masks are neither carried nor fused: {error}; install OpenCV "
                        "(python3-opencv), or set rate_mode and temporal to off",
                    )
                    return False
                self._masks = [
                    CameraMasks(camera, self._gate, self._clock) for camera in self._cameras
                ]
            return True

    def _call(self, camera: ImageSubscription, function: Callable[[CameraMasks], None]) -> None:
        masks = self._masks[self._numbers[id(camera)]]

        def run() -> None:
            self._guarded(masks, function)

        self._queue.call(run)

    def _run(self) -> None:
        while True:
            work = self._queue.take(lambda: 0.0)
            if work is None:
                return
            calls, taken = work
            for call in calls:
                call()
            for number, frame in taken:
                self._guarded(self._masks[number], partial(self._follow, taken=frame))

    def _follow(
        self,
        masks: CameraMasks,
        taken: tuple[Image | CompressedImage, float, DepthMatch | None],
    ) -> None:
        frame = self._read(masks.camera, *taken)
        if frame is not None:
            masks.image(frame, self._settings())

    def _read(
        self,
        camera: ImageSubscription,
        message: Image | CompressedImage,
        received: float,
        depth: DepthMatch | None,
    ) -> PendingFrame | None:
        """A message as a frame; None if nobody wants it or it cannot be read.

        The inference thread counts and reports those that it cannot read.
        """
        if not self._settings()["run_without_subscribers"]:
            with self._gate.passing():  # the inference thread may be changing the topics
                if not camera.have_subscribers():
                    return None
        try:
            return read_frame(camera, message, received, depth)
        except ImageMessageError:
            return None

    def _guarded(self, masks: CameraMasks, function: Callable[[CameraMasks], None]) -> bool:
        """Run a step of a camera; if it fails, say so, start the camera afresh, return False."""
        try:
            function(masks)
            return True
        except Exception as error:  # the thread outlives whatever an image does
            masks.reset()
            topic = masks.camera.topic
            self._report(
                f"propagation {topic}",
                f"{topic}: a mask was not carried: {type(error).__name__}: {error}",
            )
            return False
