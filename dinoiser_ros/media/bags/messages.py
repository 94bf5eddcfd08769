# SPDX-License-Identifier: Apache-2.0
"""The messages that the node would publish, made for a bag with rosbags' types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dinoiser_ros.messages.encode import image_fields
from dinoiser_ros.segmentation import SegmentationClass

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
LABEL_INFO = "vision_msgs/msg/LabelInfo"
# Of the standard package vision_msgs, which rosbags does not know; a test compares the hashes.
_DEFINITIONS = {
    "vision_msgs/msg/VisionClass": "uint16 class_id\nstring class_name\n",
    LABEL_INFO: "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n",
}


def typestore(name: str) -> Typestore:
    """The types of a ROS distribution, such as "ros2_humble", and those of vision_msgs."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores(name))
    for type_name, text in _DEFINITIONS.items():
        store.register(get_types_from_msg(text, type_name))
    return store


def image(store: Typestore, header: Any, pixels: np.ndarray) -> Any:
    """A sensor_msgs/Image.

    Args:
        header: the input's; it is used as it is.
        pixels: (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB.
    """
    encoding = "rgb8" if pixels.ndim == 3 else "mono8" if pixels.dtype == np.uint8 else "mono16"
    pixels = np.ascontiguousarray(pixels)
    data = pixels.reshape(-1).view(np.uint8)
    return store.types[IMAGE](header=header, **image_fields(pixels, encoding), data=data)


def label_info(
    store: Typestore, header: Any, classes: Sequence[SegmentationClass], threshold: float
) -> Any:
    """A vision_msgs/LabelInfo: what class ids mean from this header's stamp on."""
    entry = store.types["vision_msgs/msg/VisionClass"]
    return store.types[LABEL_INFO](
        header=replace(header, frame_id=""),  # as the node has it: classes are of no frame
        class_map=[entry(class_id=c.id, class_name=c.name) for c in classes],
        threshold=float(threshold),
    )
