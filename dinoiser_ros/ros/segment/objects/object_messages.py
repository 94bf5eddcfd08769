# SPDX-License-Identifier: Apache-2.0
"""Objects as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from geometry_msgs.msg import Point, Vector3
from sensor_msgs.msg import RegionOfInterest
from vision_msgs.msg import (
    Detection2D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesisWithPose,
)

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.msg import Instance, InstanceArray

if TYPE_CHECKING:
    from std_msgs.msg import Header

    from dinoiser_ros.objects.found import FoundObject


def detections_message(found: Sequence[FoundObject], header: Header) -> Detection2DArray:
    """Boxes in the image.

    Args:
        header: of the image's message.
    """
    message = Detection2DArray(header=header)
    for one in found:
        at = one.instance
        detection = Detection2D(header=header, id=_id(one), results=[_hypothesis(one)])
        detection.bbox.center.position.x = at.x + at.width / 2
        detection.bbox.center.position.y = at.y + at.height / 2
        detection.bbox.size_x, detection.bbox.size_y = float(at.width), float(at.height)
        message.detections.append(detection)
    return message


def detections_3d_message(found: Sequence[FoundObject], header: Header) -> Detection3DArray:
    """Boxes in space, of the objects whose depth is known.

    Args:
        header: stamp of the image, frame_id of the depth.
    """
    message = Detection3DArray(header=header)
    for one in found:
        if one.box is None:
            continue
        hypothesis = _hypothesis(one)
        detection = Detection3D(header=header, id=_id(one), results=[hypothesis])
        x, y, z = one.box.centre.tolist()
        hypothesis.pose.pose.position = Point(x=x, y=y, z=z)
        detection.bbox.center.position = Point(x=x, y=y, z=z)
        x, y, z = one.box.size.tolist()
        detection.bbox.size = Vector3(x=x, y=y, z=z)
        message.detections.append(detection)
    return message


def instances_message(
    found: Sequence[FoundObject], mask: np.ndarray, header: Header
) -> InstanceArray:
    """Which pixels belong to which object.

    Args:
        mask: (H, W) uint8 of `objects.instances.Instances`.
        header: of the image's message.
    """
    message = InstanceArray(header=header)
    for one in found:
        at = one.instance
        entry = Instance(value=at.value, class_id=at.class_id, class_name=one.class_name)
        entry.track_id = one.track
        entry.confidence = at.confidence
        entry.pixel_count = at.pixel_count
        entry.box = RegionOfInterest(x_offset=at.x, y_offset=at.y, width=at.width, height=at.height)
        message.instances.append(entry)
    message.mask = image_message(mask, "mono8", header)
    return message


def _hypothesis(one: FoundObject) -> ObjectHypothesisWithPose:
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = one.class_name
    hypothesis.hypothesis.score = one.instance.confidence
    return hypothesis


def _id(one: FoundObject) -> str:
    return str(one.track) if one.track else ""
