# SPDX-License-Identifier: Apache-2.0
"""The node's contract on a stream: topics, headers, sizes, QoS, prompts, and laziness."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
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

from dinoiser_ros.msg import ClassMaskArray
from dinoiser_ros.srv import GetPrompts, Segment, SetPrompts

PROMPTS = ["background", "wooden floor", "traffic cone", "person"]
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_node({"prompts": PROMPTS}) as (_, client):
        yield client


@pytest.fixture(autouse=True)
def _same_prompts(client: Client) -> None:
    set_prompts(client, PROMPTS)


@pytest.fixture
def collect(client: Client) -> Iterator[Any]:
    """Subscribe for the length of one test."""
    lists = []

    def subscribe(kind: type, topic: str, qos: Any, journal: list | None = None) -> list:
        lists.append(client.collect(kind, f"/dinoiser/{topic}", qos, journal))
        return lists[-1]

    yield subscribe
    for messages in lists:
        client.forget(messages)


def set_prompts(client: Client, prompts: list[str]) -> Any:
    return client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)


def by_stamp(messages: list, stamp: int) -> Any:
    return next((message for message in messages if stamp_of(message) == stamp), None)


def test_every_output_carries_its_images_header_and_size(camera: FakeCamera, collect: Any) -> None:
    outputs = {
        "mask": collect(Image, "mask", qos_profile_sensor_data),
        "confidence": collect(Image, "confidence", qos_profile_sensor_data),
        "overlay": collect(Image, "overlay", 10),
        "masks/person": collect(Image, "masks/person", 10),
        "class_masks": collect(ClassMaskArray, "class_masks", 10),
    }

    def complete() -> int | None:
        stamps = [{stamp_of(message) for message in list(got)} for got in outputs.values()]
        return max(set.intersection(*stamps), default=None)

    stamp = camera.publish_until(complete, "an image in all outputs")
    assert stamp in camera.sent
    found = {name: by_stamp(got, stamp) for name, got in outputs.items()}
    assert all(message.header.frame_id == camera.frame_id for message in found.values())
    encodings = {"mask": "mono8", "confidence": "mono8", "overlay": "rgb8", "masks/person": "mono8"}
    for name, encoding in encodings.items():
        message = found[name]
        assert (message.height, message.width) == camera.pixels.shape[:2], name
        assert message.encoding == encoding
    check_class_masks(found)


def check_class_masks(found: dict[str, Any]) -> None:
    """The per-class masks say the same as the mask."""
    labels = pixels_of(found["mask"])
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    person = PROMPTS.index("person")
    np.testing.assert_array_equal(
        pixels_of(found["masks/person"]), np.where(labels == person, 255, 0)
    )
    entries = found["class_masks"].masks
    assert [entry.class_id for entry in entries] == sorted(np.unique(labels).tolist())
    for entry in entries:
        inside = labels == entry.class_id
        assert entry.class_name == PROMPTS[entry.class_id]
        assert entry.pixel_count == inside.sum()
        assert entry.mask.header == found["mask"].header
        np.testing.assert_array_equal(pixels_of(entry.mask), np.where(inside, 255, 0))
        mean = pixels_of(found["confidence"])[inside].mean() / 255
        assert abs(entry.confidence - mean) < 0.01


def test_quality_of_service_is_what_costmap_layers_ask_for(client: Client) -> None:
    def only_publisher(topic: str) -> Any:
        (info,) = client.node.get_publishers_info_by_topic(f"/dinoiser/{topic}")
        return info.qos_profile

    for topic in ("mask", "confidence"):
        assert only_publisher(topic).reliability == ReliabilityPolicy.BEST_EFFORT
    labels = only_publisher("label_info")
    assert labels.reliability == ReliabilityPolicy.RELIABLE
    assert labels.durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_label_info_is_there_for_those_who_join_late(client: Client, collect: Any) -> None:
    infos = collect(LabelInfo, "label_info", LATCHED)
    wait_until(lambda: infos, "a LabelInfo without any image")
    assert [(entry.class_id, entry.class_name) for entry in infos[-1].class_map] == list(
        enumerate(PROMPTS)
    )
    assert infos[-1].threshold == 0.0


def test_prompts_change_while_running(client: Client, camera: FakeCamera, collect: Any) -> None:
    """No mask names a class before LabelInfo did; ids and topics follow."""
    journal: list = []
    infos = collect(LabelInfo, "label_info", LATCHED, journal)
    wait_until(lambda: infos, "the LabelInfo of the first prompts")
    masks = collect(ClassMaskArray, "class_masks", 10, journal)
    camera.publish_until(lambda: masks, "masks of the first prompts")
    answer = set_prompts(client, ["floor: wooden floor, carpet", "дверь"])
    assert answer.success, answer.message
    door = answer.class_ids[1]
    assert min(answer.class_ids) >= len(PROMPTS), "ids of other classes are not given away"
    assert list(answer.class_names) == ["floor", "дверь"]

    def named() -> set[str]:
        return {entry.class_name for message in list(masks) for entry in message.masks}

    camera.publish_until(lambda: named() & {"floor", "дверь"}, "masks of the second prompts")
    wait_until(
        lambda: class_topics(client) == {"floor", f"class_{door}"}, "topics of the new classes"
    )
    known: set[str] = set()
    for message in journal:
        if isinstance(message, LabelInfo):
            known |= {entry.class_name for entry in message.class_map}
        else:
            assert {entry.class_name for entry in message.masks} <= known


def class_topics(client: Client) -> set[str]:
    topics = dict(client.node.get_topic_names_and_types())
    prefix = "/dinoiser/masks/"
    return {topic.removeprefix(prefix) for topic in topics if topic.startswith(prefix)}


@pytest.mark.parametrize(
    "prompts",
    [
        [],
        [""],
        ["   "],
        ["person", "person"],
        ["x" * 10_000],
        ["line\x07feed"],
        ["floor: wooden floor,, carpet"],
    ],
    ids=["none", "empty", "spaces", "twice", "long", "control", "part"],
)
def test_bad_prompts_change_nothing(client: Client, prompts: list[str]) -> None:
    answer = set_prompts(client, prompts)
    assert not answer.success and answer.message
    now = client.call(GetPrompts, "/dinoiser/get_prompts")
    assert list(now.prompts) == PROMPTS == list(now.class_names)
    assert list(now.class_ids) == [0, 1, 2, 3]
    assert client.get_parameter("prompts") == PROMPTS


def test_service_and_parameter_stay_in_step(client: Client) -> None:
    assert set_prompts(client, ["person"]).success
    assert client.get_parameter("prompts") == ["person"]
    assert list(client.call(GetPrompts, "/dinoiser/get_prompts").class_names) == [
        "background",
        "person",
    ]
    assert client.set_parameters(prompts=["🚪", "chair"]) == (True, "")
    wait_until(
        lambda: (
            list(client.call(GetPrompts, "/dinoiser/get_prompts").class_names) == ["🚪", "chair"]
        ),
        "the parameter's prompts",
    )


def test_more_than_254_classes_give_16_bit_masks(
    client: Client, camera: FakeCamera, collect: Any
) -> None:
    masks = collect(Image, "mask", qos_profile_sensor_data)
    names = [f"thing {number}" for number in range(260)]
    answer = set_prompts(client, names)
    assert answer.success and len(set(answer.class_ids)) == 260
    message = camera.publish_until(
        lambda: next((m for m in list(masks) if m.encoding == "mono16"), None), "a mono16 mask"
    )
    assert message.step == 2 * message.width
    assert set(np.unique(pixels_of(message))) <= set(answer.class_ids)


def test_one_image_on_request(client: Client, camera: FakeCamera) -> None:
    from dinoiser_ros.messages.encode import image_message

    image = image_message(camera.pixels[:20, :30], "bgr8", camera.header())
    answer = client.call(Segment, "/dinoiser/segment", image=image)
    assert answer.success, answer.message
    for message in (answer.mask, answer.confidence):
        assert (message.height, message.width, message.encoding) == (20, 30, "mono8")
        assert message.header == image.header
    assert [entry.class_name for entry in answer.labels.class_map] == PROMPTS
    image.encoding = "32FC1"
    answer = client.call(Segment, "/dinoiser/segment", image=image)
    assert not answer.success and "depth" in answer.message


def test_without_subscribers_nothing_is_segmented(
    client: Client, camera: FakeCamera, collect: Any
) -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    messages = client.collect(DiagnosticArray, "/diagnostics", 10)

    def counted(name: str) -> int:
        status = diagnostic(list(messages), "/image")
        return int(status[2][name]) if status else -1

    wait_until(lambda: counted("received") >= 0, "diagnostics of the camera")
    time.sleep(0.5)  # frames of the test before are through
    before = wait_for_new(messages, counted)
    camera.publish_until(lambda: counted("not_wanted") > before[1] + 3, "frames nobody wants")
    assert counted("published") == before[0]
    assert client.set_parameters(run_without_subscribers=True) == (True, "")
    camera.publish_until(lambda: counted("published") > before[0] + 3, "frames segmented anyway")
    assert client.set_parameters(run_without_subscribers=False) == (True, "")
    client.forget(messages)


def wait_for_new(messages: list, counted: Any) -> tuple[int, int]:
    """(published, not_wanted) of a diagnostics message that is yet to come."""
    length = len(messages)
    wait_until(lambda: len(messages) > length + 1, "new diagnostics")
    return counted("published"), counted("not_wanted")
