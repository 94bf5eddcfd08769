# SPDX-License-Identifier: Apache-2.0
"""Messages that lie or flood: counted and reported, and the next good one is served."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, diagnostic, running_node, stamp_of, wait_until
from sensor_msgs.msg import Image


@pytest.fixture(scope="module")
def node() -> Iterator[Any]:
    with running_node({"prompts": ["floor", "person"]}) as node:
        yield node


@pytest.fixture(scope="module")
def client(node: Any) -> Client:
    return node[1]


@pytest.fixture(scope="module")
def diagnostics(client: Client) -> list:
    return client.collect(DiagnosticArray, "/diagnostics", 10)


@pytest.fixture(scope="module")
def masks(client: Client) -> list:
    return client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)


def count(diagnostics: list, name: str) -> int:
    status = diagnostic(list(diagnostics), "/image")
    return int(status[2].get(name, 0)) if status else 0


def answered(camera: FakeCamera, masks: list) -> None:
    """The node still serves good images."""
    start = len(camera.sent)

    def fresh() -> bool:
        return any(stamp_of(message) in camera.sent[start:] for message in list(masks))

    camera.publish_until(fresh, "a mask of a good image")


BAD = {
    "no width": ({"width": 0}, "bad_size"),
    "no height": ({"height": 0}, "bad_size"),
    "short": ({"data": array("B", bytes(10))}, "bad_size"),
    "long": ({"data": array("B", bytes(48 * 64 * 3 + 1))}, "bad_size"),
    "no data": ({"data": array("B")}, "bad_size"),
    "huge numbers": ({"width": 2**32 - 1, "height": 2**32 - 1}, "bad_size"),
    "unknown encoding": ({"encoding": "x" * 10_000}, "bad_encoding"),
    "depth": ({"encoding": "32FC1"}, "bad_depth"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_messages_are_counted(
    name: str, node: Any, camera: FakeCamera, masks: list, diagnostics: list
) -> None:
    from dinoiser_ros.messages.encode import image_message

    changes, counter = BAD[name]
    answered(camera, masks)
    before = count(diagnostics, counter)

    def counted() -> bool:
        message = image_message(camera.pixels, "rgb8", camera.header())
        for field, value in changes.items():
            setattr(message, field, value)
        camera.publish(message)
        return count(diagnostics, counter) > before

    wait_until(counted, f"{counter} in diagnostics")
    answered(camera, masks)
    assert "Traceback" not in node[0].log


def test_stamps_that_are_zero_or_go_back_are_served_and_counted(
    camera: FakeCamera, masks: list, diagnostics: list
) -> None:
    from dinoiser_ros.messages.encode import image_message

    for seconds in (0, 5):
        answered(camera, masks)
        before = count(diagnostics, "bad_stamp")

        def served(wanted: int = seconds * 10**9) -> bool:
            message = image_message(camera.pixels, "rgb8", camera.header())
            message.header.stamp.sec, message.header.stamp.nanosec = wanted // 10**9, 0
            camera.publish(message)
            return any(stamp_of(mask) == wanted for mask in list(masks))

        camera.publish_until(served, f"a mask with the stamp {seconds} s")
        wait_until(lambda b=before: count(diagnostics, "bad_stamp") > b, "the stamp in diagnostics")


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 1200)])
def test_unusual_sizes_are_served(
    size: tuple[int, int], client: Client, camera: FakeCamera, masks: list
) -> None:
    from dinoiser_ros.messages.encode import image_message

    pixels = np.full((*size, 3), 128, np.uint8)

    def served() -> bool:
        camera.publish(image_message(pixels, "rgb8", camera.header()))
        return any((mask.height, mask.width) == size for mask in list(masks))

    wait_until(served, f"a mask of {size[1]}x{size[0]}")


def test_a_flood_is_dropped_and_memory_does_not_grow(
    client: Client, camera: FakeCamera, masks: list, diagnostics: list
) -> None:
    def memory() -> float:
        known = len(diagnostics)  # told once a second: before the last large images, maybe
        wait_until(lambda: len(diagnostics) > known, "new diagnostics")
        return float(diagnostic(list(diagnostics), "node")[2]["memory_mb"])

    answered(camera, masks)
    before, dropped = memory(), count(diagnostics, "dropped")
    assert client.set_parameters(max_rate=10.0) == (True, "")  # slower than any flood
    for _ in range(2000):
        camera.publish()
        time.sleep(0.001)
    wait_until(lambda: count(diagnostics, "dropped") > dropped + 50, "dropped frames")
    assert client.set_parameters(max_rate=0.0) == (True, "")
    answered(camera, masks)
    assert memory() < before + 50
    stamps = [stamp_of(message) for message in list(masks) if stamp_of(message) > 10**10]
    assert len(stamps) == len(set(stamps))
