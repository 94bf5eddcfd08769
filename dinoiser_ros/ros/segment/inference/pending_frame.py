# SPDX-License-Identifier: Apache-2.0
"""A camera message that was taken from the queue, read into pixels and ready to be segmented."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.ros.segment.points.cloud_maker import SegmentedFrame
from dinoiser_ros.temporal.windows import Window

if TYPE_CHECKING:
    from sensor_msgs.msg import CompressedImage, Image
    from std_msgs.msg import Header

    from dinoiser_ros.ros.segment.image_subscription import ImageSubscription
    from dinoiser_ros.ros.segment.points.depth_buffer import DepthMatch
    from dinoiser_ros.segmentation import Segmentation


@dataclass
class PendingFrame:
    """An image on its way from its message to the segmenter.

    Attributes:
        camera: the subscription that received it.
        header: the message's.
        image: (H, W, 3) uint8 RGB.
        received: monotonic seconds when the message arrived.
        conversion: seconds spent on reading the message.
        depth: the depth of its moment, if the camera has depth.
        window: what of the image the network gets; None: all.
    """

    camera: ImageSubscription
    header: Header
    image: np.ndarray
    received: float
    conversion: float
    depth: DepthMatch | None = None
    window: Window | None = None

    @property
    def given(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB, what the network gets."""
        return self.image if self.window is None else self.window.of(self.image)

    def publish_more(self, segmentation: Segmentation, settings: Mapping[str, Any]) -> None:
        """Publish clouds, if the camera has depth, and objects; to be called in the gate.

        Args:
            segmentation: of the image.
            settings: all parameters.
        """
        segmented = SegmentedFrame(segmentation, self.image, self.header)
        if self.depth is not None and self.camera.points is not None:
            self.camera.points.publish(segmented, self.depth, settings)
        elif self.camera.objects is not None:
            self.camera.objects.publish(segmented, None, None, settings)


def read_frame(
    camera: ImageSubscription,
    message: Image | CompressedImage,
    received: float,
    depth: DepthMatch | None = None,
) -> PendingFrame:
    """Decode a message of a camera.

    Args:
        received: monotonic seconds when the message arrived.
        depth: the depth of its moment, if the camera has depth.

    Raises:
        ImageMessageError: the message cannot be read; of kind "internal" if a library failed in a
            way that it does not document.
    """
    start = time.monotonic()
    try:
        image = rgb_from_message(message)
    except ImageMessageError:
        raise
    except Exception as error:  # whatever a library does with a message it did not expect
        raise ImageMessageError("internal", f"an image could not be read: {error!r}") from error
    return PendingFrame(camera, message.header, image, received, time.monotonic() - start, depth)
