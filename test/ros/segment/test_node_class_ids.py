# SPDX-License-Identifier: Apache-2.0
"""Class ids in everything that the node says, and the size of masks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from paths import GOLDEN
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, pixels_of, running_node, stamp_of, wait_until
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.geometry.resampling import nearest_grid
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.msg import ClassMaskArray
from dinoiser_ros.srv import GetPrompts, Segment, SetPrompts

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PROMPTS = ["7=person", "200=floor: wooden floor", "wall"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_node({"prompts": PROMPTS}) as (_, client):
        yield client


@pytest.fixture(scope="module")
def camera(client: Client) -> FakeCamera:
    camera = FakeCamera(client)
    camera.pixels = np.load(GOLDEN / "expected.npz")["square.image_u8"]  # of several classes
    camera.connect()
    return camera


def set_prompts(client: Client, prompts: list[str]) -> Any:
    return client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)


def ids(answer: Any) -> dict[str, int]:
    return dict(zip(answer.class_names, answer.class_ids, strict=True))


def in_use(client: Client) -> dict[str, int]:
    return ids(client.call(GetPrompts, "/dinoiser/get_prompts"))


def test_ids_of_the_parameter_are_in_every_message(client: Client, camera: FakeCamera) -> None:
    """This test comes first: it sees the prompts that the node started with."""
    expected = {"person": 7, "floor": 200, "wall": 0}
    assert list(client.call(GetPrompts, "/dinoiser/get_prompts").prompts) == PROMPTS
    assert in_use(client) == expected
    infos = client.collect(LabelInfo, "/dinoiser/label_info", LATCHED)
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    arrays = client.collect(ClassMaskArray, "/dinoiser/class_masks", 10)
    single = client.collect(Image, "/dinoiser/masks/floor", 10)

    def complete() -> int | None:
        stamps = [{stamp_of(message) for message in list(got)} for got in (masks, arrays, single)]
        return max(set.intersection(*stamps), default=None)

    stamp = camera.publish_until(complete, "an image in all outputs")
    mask, array, floor = (
        next(message for message in got if stamp_of(message) == stamp)
        for got in (masks, arrays, single)
    )
    assert {e.class_name: e.class_id for e in infos[-1].class_map} == expected
    assert len(array.masks) == 3
    assert [e.class_id for e in array.masks] == sorted(set(np.unique(pixels_of(mask)).tolist()))
    for entry in array.masks:
        assert expected[entry.class_name] == entry.class_id
        assert ((pixels_of(entry.mask) == 255) == (pixels_of(mask) == entry.class_id)).all()
    assert ((pixels_of(floor) == 255) == (pixels_of(mask) == 200)).all()
    answer = client.call(
        Segment, "/dinoiser/segment", image=image_message(camera.pixels, "rgb8", camera.header())
    )
    assert {e.class_name: e.class_id for e in answer.labels.class_map} == expected
    np.testing.assert_array_equal(pixels_of(answer.mask), pixels_of(mask))


def test_pixels_follow_their_classes(client: Client, camera: FakeCamera) -> None:
    image = image_message(camera.pixels, "rgb8", camera.header())

    def names(prompts: list[str]) -> list[str]:
        answer = set_prompts(client, prompts)
        assert answer.success, answer.message
        of = {number: name for name, number in ids(answer).items()}
        mask = pixels_of(client.call(Segment, "/dinoiser/segment", image=image).mask)
        return [of[number] for number in mask.ravel().tolist()]

    plain = names(["person", "wooden floor", "wall"])
    assert len(set(plain)) == 3
    assert names(["wall", "person", "wooden floor"]) == plain
    assert names(["254=wall", "0=person", "wooden floor"]) == plain


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        (["person", "007=wall"], "Prompt 2 ('007=wall') has no id in front of '='"),
        (["person", "+3=wall"], "Prompt 2 ('+3=wall')"),
        (["=person", "wall"], "Prompt 1 ('=person')"),
        (["3=", "wall"], "Prompt 1 ('3=')"),
        (["٣=person", "wall"], "Prompt 1 ('٣=person')"),
        (["300=person", "wall"], "Prompt 1 asks for the id 300"),
        (["255=person", "wall"], "Prompt 1 asks for the id 255"),
        (["5=person", "5=wall"], "Prompts 1 and 2 both ask for the id 5"),
        (["person", "wall", "7=door"], "Prompt 3 asks for the id 7, which is that of the class"),
        (["person", "floor: 7=carpet"], "Prompt 2 ('floor: 7=carpet') has the id 7 where none"),
        (["7=person", "8=person"], "given twice, in prompts 1 and 2"),
    ],
)
def test_ids_that_cannot_be_are_refused_and_change_nothing(
    client: Client, prompts: list[str], reason: str
) -> None:
    assert set_prompts(client, ["7=person", "wall"]).success
    before = in_use(client)
    answer = set_prompts(client, prompts)
    assert not answer.success and answer.message.startswith(("Prompt", "The class name"))
    assert reason in answer.message
    accepted, sentence = client.set_parameters(prompts=prompts)
    assert (accepted, sentence) == (False, answer.message)
    assert in_use(client) == before
    assert client.get_parameter("prompts") == ["7=person", "wall"]


def test_ids_stay_in_a_storm_of_changes(client: Client, camera: FakeCamera) -> None:
    infos = client.collect(LabelInfo, "/dinoiser/label_info", LATCHED)
    wait_until(lambda: infos, "a label info")
    chosen = random.Random(0)
    names = ["person", "floor", "wall", "door", "дверь", "chair", "background", "box"]
    meant: dict[int, str] = {}
    for number in range(41):  # the last one by the service, which answers when it is in use
        prompts = chosen.sample(names, chosen.randint(1, len(names)))
        if number % 3:
            answer = set_prompts(client, prompts)
            assert answer.success, answer.message
            assert set(answer.class_names) == {*prompts, *(["background"] * (len(prompts) == 1))}
            for name, given in ids(answer).items():
                assert meant.setdefault(given, name) == name
        else:
            assert client.set_parameters(prompts=prompts) == (True, "")
        camera.publish()
    last = in_use(client)
    wait_until(
        lambda: {e.class_name: e.class_id for e in list(infos)[-1].class_map} == last, "the last"
    )
    for info in infos[1:]:
        for entry in info.class_map:
            assert meant.setdefault(entry.class_id, entry.class_name) == entry.class_name


def test_mask_and_confidence_have_the_size_asked_for(client: Client, camera: FakeCamera) -> None:
    outputs = [
        client.collect(Image, f"/dinoiser/{name}", qos_profile_sensor_data)
        for name in ("mask", "confidence", "overlay")
    ]
    # A service's answer says that prompts are in use; those set as a parameter may yet be embedded.
    assert set_prompts(client, PROMPTS).success
    height, width = camera.pixels.shape[:2]
    for size in ((20, 32), (100, 64), (height, width), (1, 1)):
        assert client.set_parameters(mask_size=f"{size[1]}x{size[0]}") == (True, "")
        start = len(camera.sent)

        def complete(start: int = start) -> int | None:
            stamps = [{stamp_of(message) for message in list(got)} for got in outputs]
            return max(set.intersection(*stamps, set(camera.sent[start:])), default=None)

        stamp = camera.publish_until(complete, "all outputs")
        mask, confidence, overlay = (
            next(m for m in reversed(got) if stamp_of(m) == stamp) for got in outputs
        )
        answer = client.call(
            Segment, "/dinoiser/segment", image=image_message(camera.pixels, "rgb8", mask.header)
        )
        for small, full in ((mask, answer.mask), (confidence, answer.confidence)):
            assert small.header == overlay.header == full.header
            assert (full.height, full.width) == (overlay.height, overlay.width) == (height, width)
            np.testing.assert_array_equal(pixels_of(small), nearest_grid(pixels_of(full), size))
    assert client.set_parameters(mask_size="image") == (True, "")


@pytest.mark.parametrize(
    "value",
    ["", "0x3", "3x0", "-3x4", "3X4", "3 x 4", "4097x1", "1x99999", "٣x٣", "3x4x5"],
)
def test_a_mask_size_that_cannot_be_is_refused(client: Client, value: str) -> None:
    accepted, sentence = client.set_parameters(mask_size=value)
    assert not accepted
    assert sentence == (
        f"mask_size cannot be {value!r}: it takes image, depth, or width x height such as 320x240, "
        "each 1 to 4096."
    )


def test_the_size_of_the_depth_needs_depth(client: Client) -> None:
    accepted, sentence = client.set_parameters(mask_size="depth")
    assert not accepted and "no camera has depth: name the topics in depth_topics" in sentence


def test_the_policy_is_read_at_configure(client: Client, camera: FakeCamera) -> None:
    """This test comes last: it configures the node anew."""
    accepted, sentence = client.set_parameters(id_policy="by_position")
    assert not accepted and "id_policy is read at configure" in sentence
    assert client.change_state("deactivate") and client.change_state("cleanup")
    assert client.set_parameters(prompts=["5=wall", "5=door"]) == (True, "")
    assert not client.change_state("configure"), "two prompts ask for one id"
    values = {"id_policy": "by_position", "prompts": ["wall", "9=person", "door"]}
    assert client.set_parameters(**values) == (True, "")
    assert client.change_state("configure") and client.change_state("activate")
    assert in_use(client) == {"wall": 0, "person": 9, "door": 2}
    for order in itertools.permutations(["wall", "person", "door"]):
        assert ids(set_prompts(client, list(order))) == dict(zip(order, range(3), strict=True))
    answer = set_prompts(client, ["1=wall", "door"])
    assert not answer.success and "the id 1, which is that of the class 'door'" in answer.message
