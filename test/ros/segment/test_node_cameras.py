# SPDX-License-Identifier: Apache-2.0
"""Several cameras: outputs of their own, other sizes and types, and none waits for another."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, diagnostic, running_node, stamp_of, wait_until
from sensor_msgs.msg import CompressedImage, Image

TOPICS = ["/front/image_raw", "/rear/image_raw/compressed", "/side/picture", "/dead/image"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_node({"image_topics": TOPICS, "prompts": ["floor", "person"]}) as (_, client):
        yield client


def collect(client: Client, namespace: str) -> list:
    return client.collect(Image, f"{namespace}/dinoiser/mask", qos_profile_sensor_data)


def jpeg(camera: FakeCamera) -> Any:
    # Optimised: Fast DDS has 0.5 MB of shared memory, and loses parts of a larger message.
    data = cv2.imencode(".jpg", camera.pixels, [cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes()
    return CompressedImage(header=camera.header(), format="jpeg", data=array("B", data))


def check(camera: FakeCamera, masks: list) -> None:
    for message in masks:
        assert stamp_of(message) in camera.sent
        assert message.header.frame_id == camera.frame_id
        assert (message.height, message.width) == camera.pixels.shape[:2]


def test_each_camera_has_its_own_outputs(client: Client) -> None:
    front = FakeCamera(client, "/front/image_raw", (48, 64))
    rear = FakeCamera(client, "/rear/image_raw/compressed", (40, 56), CompressedImage)
    side = FakeCamera(client, "/side/picture", (48, 64))
    masks = {
        camera: collect(client, f"/{name}")
        for camera, name in ((front, "front"), (rear, "rear"), (side, "side"))
    }
    for camera in masks:
        camera.connect()

    def enough() -> bool:
        rear.publish(jpeg(rear))
        side.publish()
        return all(len(got) >= 5 for got in masks.values())

    front.publish_until(enough, "masks of three cameras, the fourth being dead")
    for camera, got in masks.items():
        check(camera, list(got))
    assert "/dead/dinoiser/mask" in dict(client.node.get_topic_names_and_types())


def test_the_message_type_shows_when_the_camera_starts(client: Client) -> None:
    """/dead/image was subscribed to as raw; then a compressed camera appears there."""
    late = FakeCamera(client, "/dead/image", (24, 32), CompressedImage)
    masks = collect(client, "/dead")

    def answered() -> list:
        late.publish(jpeg(late))
        return masks

    wait_until(lambda: answered(), "a mask of the compressed camera")
    check(late, list(masks))


def test_broken_and_huge_pictures(client: Client) -> None:
    """An undecodable JPEG is counted, 8000 x 6000 pixels are segmented, and the stream goes on."""
    camera = FakeCamera(client, "/rear/image_raw/compressed", (40, 56), CompressedImage)
    masks = collect(client, "/rear")
    diagnostics = client.collect(DiagnosticArray, "/diagnostics", 10)
    camera.connect()

    def counted(name: str) -> int:
        status = diagnostic(list(diagnostics), "/rear/image_raw/compressed")
        return int(status[2].get(name, 0)) if status else 0

    def broken() -> CompressedImage:
        data = array("B", b"\xff\xd8\xff\xe0 this is no picture")
        return CompressedImage(header=camera.header(), format="jpeg", data=data)

    def refused() -> bool:
        camera.publish(broken())
        return counted("bad_decode") > 0

    wait_until(refused, "the broken picture in diagnostics")
    camera.pixels = np.zeros((6000, 8000, 3), np.uint8)
    huge, published = jpeg(camera), counted("published")

    def segmented() -> bool:
        camera.publish(huge)  # best effort: any one may be lost
        time.sleep(1.0)
        return counted("published") > published

    wait_until(segmented, "a segmented huge picture")
    camera.pixels = np.zeros((40, 56, 3), np.uint8)
    start = len(camera.sent)

    def answered() -> bool:
        camera.publish(jpeg(camera))
        return any(stamp_of(mask) in camera.sent[start:] for mask in list(masks))

    wait_until(answered, "a mask of a good picture")


def test_a_topic_named_twice_is_refused() -> None:
    topics = ["/image", "image"]
    with running_node({"image_topics": topics}, "unconfigured") as (process, _):
        wait_until(lambda: "names a topic twice" in process.log, "the reason in the log")
