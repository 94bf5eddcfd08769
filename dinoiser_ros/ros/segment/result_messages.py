# SPDX-License-Identifier: Apache-2.0
"""A segmentation as the messages that the node publishes; every message has the image's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sensor_msgs.msg import Image, RegionOfInterest
from vision_msgs.msg import LabelInfo, VisionClass

from dinoiser_ros.geometry.resampling import nearest_grid
from dinoiser_ros.messages.encode import confidence_pixels, image_message
from dinoiser_ros.msg import ClassMask, ClassMaskArray, MaskOrigin
from dinoiser_ros.visualization.class_regions import class_mask, class_regions

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from std_msgs.msg import Header

    from dinoiser_ros.segmentation import Segmentation, SegmentationClass


def mask_message(
    segmentation: Segmentation, header: Header, size: tuple[int, int] | None = None
) -> Image:
    """Class ids as mono8, as mono16 where there are too many classes for it.

    Args:
        size: height and width of the message, None for the image's.
    """
    labels = segmentation.labels
    encoding = "mono8" if labels.dtype == np.uint8 else "mono16"
    return image_message(nearest_grid(labels, size or labels.shape), encoding, header)


def confidence_message(
    segmentation: Segmentation, header: Header, size: tuple[int, int] | None = None
) -> Image:
    """Confidence as mono8, 0 to 255; see `mask_message`."""
    confidence = segmentation.confidence
    confidence = nearest_grid(confidence, size or confidence.shape)
    return image_message(confidence_pixels(confidence), "mono8", header)


def label_info_message(
    classes: Sequence[SegmentationClass], threshold: float, stamp: Time
) -> LabelInfo:
    """What the class ids mean.

    Args:
        threshold: confidence below which pixels are unlabeled, in [0, 1].
        stamp: when this came into force.
    """
    message = LabelInfo()
    message.header.stamp = stamp
    message.class_map = [VisionClass(class_id=entry.id, class_name=entry.name) for entry in classes]
    message.threshold = float(threshold)
    return message


def class_masks_message(segmentation: Segmentation, header: Header) -> ClassMaskArray:
    """One entry for each class that has a pixel."""
    message = ClassMaskArray(header=header)
    names = {entry.id: entry.name for entry in segmentation.classes}
    for region in class_regions(segmentation.labels, segmentation.confidence, max(names) + 1):
        entry = ClassMask(class_id=region.id, class_name=names[region.id])
        entry.pixel_count = region.pixel_count
        entry.box = RegionOfInterest(
            x_offset=region.x, y_offset=region.y, width=region.width, height=region.height
        )
        entry.confidence = region.confidence
        entry.mask = image_message(region.mask, "mono8", header)
        message.masks.append(entry)
    return message


def class_mask_message(segmentation: Segmentation, class_id: int, header: Header) -> Image:
    """One class as mono8: 255 where it is, 0 elsewhere."""
    return image_message(class_mask(segmentation.labels, class_id), "mono8", header)


def mask_origin_message(header: Header, inferred_stamp: Time | None, smoothed: bool) -> MaskOrigin:
    """Whether a mask was inferred or carried.

    Args:
        header: the image message's.
        inferred_stamp: of the image that the mask was carried from; None if it was inferred.
        smoothed: whether earlier masks are fused into it.
    """
    origin = MaskOrigin.INFERRED if inferred_stamp is None else MaskOrigin.CARRIED
    stamp = header.stamp if inferred_stamp is None else inferred_stamp
    return MaskOrigin(header=header, origin=origin, inferred_stamp=stamp, smoothed=smoothed)


def overlay_message(
    segmentation: Segmentation, image: np.ndarray, header: Header, settings: Mapping[str, Any]
) -> Image:
    """The image with its classes painted over it, as rgb8.

    Args:
        image: (H, W, 3) uint8 RGB.
        settings: the parameters "overlay_alpha" and "overlay_legend".
    """
    # Imports torch, which takes seconds: `engine` has done so by the time that this is called.
    from dinoiser_ros.visualization.overlay import overlay

    alpha, legend = settings["overlay_alpha"], settings["overlay_legend"]
    return image_message(overlay(image, segmentation, alpha, legend), "rgb8", header)
