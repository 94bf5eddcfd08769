# SPDX-License-Identifier: Apache-2.0
"""The node with a checkpoint of `maskclip+`, over real topics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plus_files import write_plus
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, NodeProcess, pixels_of, running_node, wait_until
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.srv import GetPrompts, SetPrompts

DEFAULT = BY_NAME["prompts"].default
OWN = ["floor", "person", "traffic cone"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return str(write_plus(tmp_path_factory.mktemp("plus") / "robot.safetensors"))


@pytest.fixture(scope="module")
def client(checkpoint: str) -> Iterator[Client]:
    with running_node({"model": checkpoint, "method": "maskclip+"}) as (_, client):
        yield client


def names(client: Client) -> list[str]:
    return list(client.call(GetPrompts, "/dinoiser/get_prompts").class_names)


def test_masks_with_the_checkpoints_own_classes(client: Client, camera: FakeCamera) -> None:
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    infos = client.collect(LabelInfo, "/dinoiser/label_info", latched)
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: masks and infos, "a mask")
    assert pixels_of(masks[-1]).shape == (48, 64) and pixels_of(masks[-1]).max() <= 2
    assert [entry.class_name for entry in infos[-1].class_map] == OWN
    assert names(client) == OWN and client.get_parameter("prompts") == DEFAULT
    for messages in (masks, infos):
        client.forget(messages)


def test_prompts_are_some_of_its_classes(client: Client) -> None:
    answer = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=["traffic cone", "floor"])
    assert answer.success and list(answer.class_names) == ["traffic cone", "floor"]
    assert client.get_parameter("prompts") == ["traffic cone", "floor"]
    refused = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=["cat", "dog"])
    assert not refused.success and "knows only: wooden floor" in refused.message
    successful, reason = client.set_parameters(prompts=["person", "cat"])
    assert not successful and "knows only" in reason
    assert names(client) == ["traffic cone", "floor"]
    assert client.set_parameters(prompts=["person"]) == (True, "")
    wait_until(lambda: names(client) == ["background", "person"], "the rest as background")
    assert client.set_parameters(prompts=DEFAULT) == (True, "")
    wait_until(lambda: names(client) == OWN, "all classes again")
    assert client.call(SetPrompts, "/dinoiser/set_prompts", prompts=[]).success
    assert names(client) == OWN


def test_the_method_cannot_change_while_running(client: Client) -> None:
    successful, reason = client.set_parameters(method="maskclip")
    assert not successful
    assert "needs a CLIP" in reason and "set 'model' and 'method' together" in reason
    assert client.set_parameters(confidence_threshold=0.5, inference_size=32) == (True, "")


def test_what_does_not_belong_together_is_said(checkpoint: str) -> None:
    with NodeProcess({"model": checkpoint, "method": "dinoiser"}) as process:
        wait_until(lambda: "use the method 'maskclip+'" in process.log, "the reason")
