# SPDX-License-Identifier: Apache-2.0
"""The node with a model of Talk2DINO from files of a user, over real topics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from paths import GOLDEN
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, pixels_of, running_node
from sensor_msgs.msg import Image
from talk2dino_files import write_talk2dino

from dinoiser_ros.srv import SetPrompts


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[Client]:
    with np.load(GOLDEN / "talk2dino_expected.npz") as golden:
        model = write_talk2dino(tmp_path_factory.mktemp("files"), golden)
    own = {"model": str(model), "weights": "", "heads": "", "method": "talk2dino"}
    with running_node(own) as (_, client):
        yield client


def test_masks_and_prompts(client: Client, camera: FakeCamera) -> None:
    prompts = ["background", "person", "wooden floor"]
    answer = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)
    assert answer.success and list(answer.class_names) == prompts
    assert client.set_parameters(delta=0.1) == (True, "")
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: len(masks) > 2, "masks")
    assert pixels_of(masks[-1]).shape == (48, 64)
    assert set(np.unique(pixels_of(masks[-1]))) <= set(answer.class_ids)
    client.forget(masks)


def test_a_method_of_clip_is_refused(client: Client) -> None:
    successful, reason = client.set_parameters(method="maskclip")
    assert not successful
    assert "needs a CLIP" in reason and "set 'model' and 'method' together" in reason
