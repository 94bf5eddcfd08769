# SPDX-License-Identifier: Apache-2.0
"""One camera's masks between inferences: what is published for which image."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.ros.segment.monitoring.statistics import latency_of
from dinoiser_ros.temporal.stream import MAX_GAP, Mask, MaskStream
from dinoiser_ros.temporal.windows import Urgency, Window, choose_window

from .inferred import Inferred
from .publishing_gate import PublishingGate

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from rclpy.clock import Clock

    from dinoiser_ros.ros.segment.image_subscription import ImageSubscription
    from dinoiser_ros.ros.segment.inference.pending_frame import PendingFrame
    from dinoiser_ros.segmentation import Segmentation

_SHARE = 0.3  # of the newest interval in the running means
_CARRYING_PAYS = (
    1.5  # intervals between images in one between results, from which masks are carried
)


class _Interval:
    """Running mean of the seconds between events."""

    def __init__(self) -> None:
        self.mean: float | None = None
        self._last: float | None = None

    def add(self, now: float) -> None:
        """An event happened; `now` in seconds."""
        if self._last is not None:
            since = now - self._last
            self.mean = since if self.mean is None else self.mean + _SHARE * (since - self.mean)
        self._last = now


class CameraMasks:
    """Follows one camera's images, and publishes their masks. Used by one thread.

    Masks of a camera are published in the order of their images, one for each. A result that comes
    after that of its own or a newer image is not published itself: the next are carried from it.

    Args:
        camera: whose images these are.
        gate: passed for each mask.
        clock: the node's, for latencies.
    """

    def __init__(self, camera: ImageSubscription, gate: PublishingGate, clock: Clock) -> None:
        self.camera = camera
        self._gate = gate
        self._clock = clock
        self._stream = MaskStream()
        self._newest: PendingFrame | None = None
        self._inferred: Inferred | None = None
        self._context = 0  # another number whenever results are made in another way
        self._published = -1.0  # when the image of the last mask arrived, monotonic seconds
        self._stamp = 0
        self._images, self._results = _Interval(), _Interval()
        # Read by the inference thread.
        self._urgency: tuple[Urgency, float] | None = None  # and when its image arrived
        self._making: tuple[object, ...] = ()

    def reset(self) -> None:
        """Forget all images and masks."""
        self._stream.reset()
        self._newest = self._inferred = self._urgency = None
        self._stamp = 0
        self._images, self._results = _Interval(), _Interval()

    def image(self, frame: PendingFrame, settings: Mapping[str, Any]) -> None:
        """Follow the motion to the next image, and carry the last mask to it."""
        stamp = stamp_of(frame)
        if stamp < self._stamp:  # a bag that starts again
            self._stream.reset()
        self._stamp, self._newest = stamp, frame
        self._images.add(frame.received)
        propagate = settings["rate_mode"] == "propagate"
        self._stream.use_windows(propagate and settings["inference_window"] < 1)
        self._stream.picture(frame.image, frame.received)
        urgency = self._stream.urgency
        self._urgency = None if urgency is None else (urgency, frame.received)
        if propagate and self._carrying_pays():
            self._carry(settings)

    def window(
        self, frame: PendingFrame, lengths: Sequence[int], making: tuple[object, ...]
    ) -> Window | None:
        """What of an image the network should get; may be called from any one thread.

        Args:
            frame: the image.
            lengths, making: see `PropagationThread.window`.

        Returns:
            The window; None: all of the image.
        """
        known, before, self._making = self._urgency, self._making, making
        size = frame.image.shape[:2]
        if known is None or lengths[0] >= max(size):
            return None
        urgency, received = known
        # After a pause there is no mask that a window could be put into.
        if urgency.size != size or frame.received - received > MAX_GAP:
            return None
        if [id(part) for part in before] != [id(part) for part in making]:
            return None
        return choose_window(urgency, lengths)

    def begin(self, frame: PendingFrame) -> None:
        """A frame goes to the network."""
        self._stream.begin(frame.image, frame.received, frame.window)
        self._results.add(frame.received)

    def result(self, inferred: Inferred, settings: Mapping[str, Any]) -> None:
        """The network's answer to the frame last given to `begin`."""
        frame, segmentation = inferred.frame, inferred.segmentation
        smooth = settings["temporal"] == "smooth"
        mask = Mask(
            segmentation.labels,
            segmentation.confidence,
            segmentation.unlabeled,
            self._context_of(inferred),
        )
        merged = self._stream.result(mask, frame.received, smooth, frame.window)
        if merged is None:  # a window, and the mask around it is lost
            self._urgency = None
            frame.camera.statistics.inferred(time.monotonic(), inferred.inference)
            return
        mask = merged
        labels = mask.labels
        if smooth or frame.window is not None:  # the network's own are without them already
            labels = _without_unsure(mask, settings["confidence_threshold"])
        fused = replace(segmentation, labels=labels, confidence=mask.confidence)
        self._inferred = replace(inferred, segmentation=fused)
        propagate = settings["rate_mode"] == "propagate" and self._carrying_pays()
        newer = self._newest is not None and self._newest.received > frame.received
        late = self._published >= frame.received
        if propagate and newer and not late and self._stream.holds_mask:
            frame.camera.statistics.inferred(time.monotonic(), inferred.inference)
            self._carry(settings)
        else:
            self.publish_inferred(self._inferred, settings, smooth)

    def _context_of(self, inferred: Inferred) -> int:
        last = self._inferred
        if (
            last is None
            or last.vocabulary is not inferred.vocabulary
            or last.segmentation.classes != inferred.segmentation.classes  # others by their ids
            or last.options != inferred.options
        ):
            self._context += 1
        return self._context

    def _carrying_pays(self) -> bool:
        """Whether the network is slower than the camera; it is until both are known."""
        images, results = self._images.mean, self._results.mean
        return images is None or results is None or results > _CARRYING_PAYS * images

    def _carry(self, settings: Mapping[str, Any]) -> None:
        """Publish the last mask as that of the newest image, if it can be carried there."""
        inferred, frame = self._inferred, self._newest
        if inferred is None or frame is None or frame.received <= inferred.frame.received:
            return
        if not self.camera.publishers.announced(inferred.segmentation.classes):
            self._inferred = None  # other prompts are in force; looked at again when publishing
            self._stream.forget_masks()
            return
        start = time.monotonic()
        mask = self._stream.carried()
        if mask is None:
            return
        labels = _without_unsure(mask, settings["confidence_threshold"])
        carried = replace(inferred.segmentation, labels=labels, confidence=mask.confidence)
        origin = inferred.frame.header.stamp
        if self._publish(frame, carried, settings, origin, settings["temporal"] == "smooth"):
            now = self._clock.now().nanoseconds
            latency = latency_of(frame.header.stamp, now)
            end = time.monotonic()
            frame.camera.statistics.carried(end, latency, end - start)
            self._publish_more(frame, carried, settings)

    def publish_inferred(
        self, inferred: Inferred, settings: Mapping[str, Any], smoothed: bool = False
    ) -> None:
        """Publish a result as that of its own image, unless that or a newer one has a mask."""
        frame, start = inferred.frame, time.monotonic()
        if self._published >= frame.received:
            frame.camera.statistics.inferred(start, inferred.inference)
            return
        origin = None if frame.window is None else frame.header.stamp
        if not self._publish(frame, inferred.segmentation, settings, origin, smoothed):
            frame.camera.statistics.idle()
            return
        end = time.monotonic()
        frame.camera.statistics.published(
            end,
            latency=latency_of(frame.header.stamp, self._clock.now().nanoseconds),
            inference=inferred.inference,
            conversion=frame.conversion + end - start,
            overhead=end - frame.received - inferred.inference,
        )
        self._publish_more(frame, inferred.segmentation, settings)

    def _publish(
        self,
        frame: PendingFrame,
        segmentation: Segmentation,
        settings: Mapping[str, Any],
        inferred_stamp: Time | None,
        smoothed: bool,
    ) -> bool:
        """Publish, unless the node is inactive or its classes have changed."""
        publishers = frame.camera.publishers
        with self._gate.passing() as is_open:
            if not is_open or not publishers.announced(segmentation.classes):
                return False
            size = frame.camera.mask_size(settings)
            publishers.publish(
                segmentation, frame.image, frame.header, settings, size, inferred_stamp, smoothed
            )
            self._published = frame.received
        return True

    def _publish_more(
        self, frame: PendingFrame, segmentation: Segmentation, settings: Mapping[str, Any]
    ) -> None:
        """Publish clouds and objects of an image whose mask is out, unless the node is inactive."""
        self._gate.while_open(lambda: frame.publish_more(segmentation, settings))


def _without_unsure(mask: Mask, threshold: float) -> np.ndarray:
    """The labels, but `unlabeled` where the confidence is below the threshold."""
    if threshold <= 0.0:
        return mask.labels
    labels: np.ndarray = np.where(mask.confidence < threshold, mask.unlabeled, mask.labels)
    return labels.astype(mask.labels.dtype)
