# SPDX-License-Identifier: Apache-2.0
"""What the console reads of other nodes' messages, damaged ones among them."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import Image

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.web_console.descriptions import (
    camera_topics,
    depth_at,
    diagnostics_of,
    plain_pixels,
)


def depth_message(values: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = values.view(np.uint8).reshape(len(values), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)))
    message = Image(encoding=encoding, height=values.shape[0], width=values.shape[1])
    message.step = padded.shape[1]
    message.data = padded.tobytes()
    return message


@pytest.mark.parametrize("padding", [0, 6])
def test_distances_are_metres_whatever_the_encoding(padding: int) -> None:
    metres = np.array([[1.5, np.nan, 0.0], [np.inf, 2.25, -1.0]], np.float32)
    message = depth_message(metres, "32FC1", padding)
    found = [depth_at(message, x, y) for y in (0.1, 0.9) for x in (0.1, 0.5, 0.9)]
    assert found == [1.5, None, None, None, 2.25, None]
    millimetres = np.array([[1500, 0]], ">u2")
    message = depth_message(millimetres, "16UC1", padding)
    message.is_bigendian = 1
    assert [depth_at(message, x, 1.0) for x in (0.0, 1.0)] == [1.5, None]


def test_what_is_no_depth_image_gives_no_distance() -> None:
    assert depth_at(Image(), 0.5, 0.5) is None
    assert depth_at(image_message(np.zeros((4, 4), np.uint8), "mono8"), 0.5, 0.5) is None
    short = depth_message(np.ones((4, 4), np.float32), "32FC1")
    short.data = short.data[:-1]
    assert depth_at(short, 0.99, 0.99) is None and depth_at(short, 0.0, 0.0) == 1.0
    short.step = 3
    assert depth_at(short, 0.0, 0.0) is None


def test_masks_are_read_and_damaged_ones_refused() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(plain_pixels(image_message(labels, "mono8")), labels)
    wide = labels.astype(np.uint16) * 1000
    assert np.array_equal(plain_pixels(image_message(wide, "mono16")), wide)
    for changes in ({"encoding": "rgb8"}, {"height": 4}, {"width": 5}, {"step": 3}, {"width": 0}):
        message = image_message(labels, "mono8")
        for name, value in changes.items():
            setattr(message, name, value)
        with pytest.raises(ImageMessageError):
            plain_pixels(message)


def test_only_the_statuses_of_the_node_itself_are_taken() -> None:
    def status(name: str, owner: str) -> DiagnosticStatus:
        return DiagnosticStatus(
            name=name, hardware_id=owner, level=b"\x02", values=[KeyValue(key="a", value="b")]
        )

    message = DiagnosticArray(
        status=[
            status("robot/dinoiser: node", "robot/dinoiser"),
            status("robot/dinoiser: /front/image", "robot/dinoiser"),
            status("dinoiser: node", "dinoiser"),
            status("robot/dinoiser: /rear/image", "another"),
        ]
    )
    found = diagnostics_of(message, "/robot/dinoiser")
    assert [(entry.part, entry.level) for entry in found] == [("node", 2), ("/front/image", 2)]
    assert dict(found[0].values) == {"a": "b"}
    assert camera_topics(found) == ("/front/image",)
