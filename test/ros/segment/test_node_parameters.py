# SPDX-License-Identifier: Apache-2.0
"""Parameters of the running node: refused with a reason, set as a group, in force on the stream."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from ros_helpers import (
    Client,
    FakeCamera,
    diagnostic,
    pixels_of,
    running_node,
    stamp_of,
    wait_until,
)
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.ros.segment.parameters import SPECS

PROMPTS = ["background", "person"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_node({"prompts": PROMPTS}) as (_, client):
        yield client


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gamma": math.nan}, "gamma"),
        ({"confidence_threshold": 2.0}, "confidence_threshold"),
        ({"confidence_threshold": "high"}, "a number"),
        ({"inference_size": -1}, "inference_size"),
        ({"method": "magic"}, "dinoiser"),
        ({"prompts": ["person", "PERSON"]}, "twice"),
        ({"prompts": []}, "prompts"),
        ({"model": "demo"}, "cleanup"),
        ({"autostart": False}, ""),
        ({"overlay_alpha": 0.25, "gamma": 3.0}, "gamma"),
    ],
)
def test_bad_values_change_nothing(client: Client, changes: dict[str, Any], reason: str) -> None:
    before = {name: client.get_parameter(name) for name in changes}
    successful, said = client.set_parameters(**changes)
    assert not successful
    assert reason in said
    assert {name: client.get_parameter(name) for name in changes} == before
    assert client.state() == "active"


def test_threshold_is_in_force_and_in_label_info(client: Client, camera: FakeCamera) -> None:
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    infos = client.collect(LabelInfo, "/dinoiser/label_info", latched)
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    confidences = client.collect(Image, "/dinoiser/confidence", qos_profile_sensor_data)

    def pair() -> tuple[np.ndarray, np.ndarray] | None:
        """Labels and confidence of one image."""
        found = {stamp_of(message): message for message in list(confidences)}
        mask = next((m for m in reversed(list(masks)) if stamp_of(m) in found), None)
        return mask and (pixels_of(mask), pixels_of(found[stamp_of(mask)]))

    def sure_ones_only() -> bool:
        labels, confidence = pair() or (np.zeros(1), np.zeros(1))
        return (labels == 255).any() and (confidence[labels != 255] == 255).all()

    assert client.set_parameters(confidence_threshold=1.0) == (True, "")
    wait_until(lambda: infos and infos[-1].threshold == 1.0, "a LabelInfo with the threshold")
    camera.publish_until(sure_ones_only, "a mask of sure pixels only")
    assert client.set_parameters(confidence_threshold=0) == (True, "")
    camera.publish_until(lambda: (pair()[0] != 255).all(), "a mask full of labels")
    for messages in (masks, confidences, infos):
        client.forget(messages)


def test_the_stream_goes_on_while_parameters_change(client: Client, camera: FakeCamera) -> None:
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: masks, "a mask")
    groups = [
        {"method": "maskclip", "overlay_alpha": 0.7},
        {"method": "dinoiser", "gamma": 0.5, "delta": 0.5, "background_filter": "off"},
        {"prompts": ["chair", "table", "sky"], "inference_size": 32},
        {"gamma": -1.0, "delta": -1.0, "background_filter": "auto", "inference_size": 64},
        {"prompts": PROMPTS, "max_rate": 200.0},
    ]
    for group in groups:
        count = len(masks)
        assert client.set_parameters(**group) == (True, "")
        camera.publish_until(lambda start=count: len(masks) > start + 1, f"masks after {group}")
        assert {name: client.get_parameter(name) for name in group} == group
    client.forget(masks)


def test_max_rate(client: Client, camera: FakeCamera) -> None:
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: masks, "a mask")
    assert client.set_parameters(max_rate=5.0) == (True, "")
    time.sleep(0.5)
    start, count = time.monotonic(), len(masks)
    camera.publish_until(lambda: time.monotonic() > start + 2.0, "two seconds", period=0.01)
    assert 2 <= len(masks) - count <= 12
    assert client.set_parameters(max_rate=0.0) == (True, "")
    client.forget(masks)


def test_described_and_counted(client: Client) -> None:
    from rcl_interfaces.srv import DescribeParameters

    names = [spec.name for spec in SPECS]
    answer = client.call(DescribeParameters, "/dinoiser/describe_parameters", names=names)
    assert all(descriptor.description for descriptor in answer.descriptors)
    messages = client.collect(DiagnosticArray, "/diagnostics", 10)
    client.set_parameters(gamma=9.0)

    def refused() -> bool:
        status = diagnostic(list(messages), "node")
        return bool(status) and int(status[2].get("refused_parameters", 0)) > 0

    wait_until(refused, "the refused parameters in diagnostics")
    client.forget(messages)


def test_answers_while_frames_are_in_work(client: Client, camera: FakeCamera) -> None:
    """Inference is not done in the executor: a quick service does not wait for frames."""
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.pixels = np.zeros((480, 640, 3), np.uint8)
    assert client.set_parameters(inference_size=480) == (True, "")
    times = []

    def asked() -> bool:
        start = time.monotonic()
        client.get_parameter("gamma")
        times.append(time.monotonic() - start)
        return len(times) >= 20 and len(masks) >= 2

    camera.publish_until(asked, "twenty answers", period=0.01)
    assert sorted(times)[len(times) // 2] < 0.5
    assert {stamp_of(message) for message in masks} <= set(camera.sent)
    client.forget(masks)
