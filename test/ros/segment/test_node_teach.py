# SPDX-License-Identifier: Apache-2.0
"""Teaching a running node, over real services: pictures, recent images, prompts that name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from paths import HELD_OUT
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import Client, FakeCamera, pixels_of, running_node, stamp_of
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.frames import LabelledFrame, read_frames
from dinoiser_ros.srv import Forget, GetExamples, SetPrompts, Teach

CONE = CLASSES.index("traffic cone")


@pytest.fixture(scope="module")
def frame() -> LabelledFrame:
    return max(read_frames(HELD_OUT), key=lambda frame: int((frame.labels == CONE).sum()))


@pytest.fixture(scope="module")
def examples_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teach") / "robot.safetensors"


@pytest.fixture(scope="module")
def client(examples_file: Path) -> Iterator[Client]:
    parameters = {
        "model": "demo",
        "weights": "",
        "heads": "",
        "prompts": ["floor", "wall"],
        "examples_file": str(examples_file),
    }
    with running_node(parameters) as (_, client):
        yield client


def picture(frame: LabelledFrame) -> Image:
    return image_message(frame.rgb, "rgb8", Header())


def mask_of(frame: LabelledFrame) -> Image:
    return image_message((frame.labels == CONE).astype(np.uint8) * 255, "mono8", Header())


def teach(client: Client, **request: object) -> Teach.Response:
    return client.call(Teach, "/dinoiser/teach", **request)


def counts(client: Client) -> dict[str, int]:
    answer = client.call(GetExamples, "/dinoiser/get_examples")
    assert answer.success
    return dict(zip(answer.names, answer.counts, strict=True))


def set_prompts(client: Client, *prompts: str) -> SetPrompts.Response:
    return client.call(SetPrompts, "/dinoiser/set_prompts", prompts=list(prompts))


def test_an_unknown_name_is_refused_and_nothing_is_there_at_first(client: Client) -> None:
    answer = set_prompts(client, "@tote", "floor")
    assert not answer.success and "Nothing was taught under the name 'tote'" in answer.message
    assert counts(client) == {}


def test_a_class_is_taught_used_and_improved(
    client: Client, frame: LabelledFrame, examples_file: Path
) -> None:
    answer = teach(client, name="blue tote", image=picture(frame), mask=mask_of(frame))
    assert answer.success, answer.message
    assert answer.examples == 1 and examples_file.is_file()
    others = [name for name in CLASSES if name != CLASSES[CONE]]
    answer = set_prompts(client, *others, "tote: @blue tote")
    assert answer.success and list(answer.class_names) == [*others, "tote"]
    instances, sizes = np.unique(frame.instances[frame.labels == CONE], return_counts=True)
    ys, xs = np.nonzero(frame.instances == instances[sizes.argmax()])
    left, top, right, bottom = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    box = [float(side) for side in (left, top, right, bottom)]
    answer = teach(client, name="Blue Tote", image=picture(frame), box=box)
    assert answer.success and answer.examples == 2 and counts(client) == {"blue tote": 2}


def test_masks_show_the_taught_class(client: Client, frame: LabelledFrame) -> None:
    camera = FakeCamera(client)
    camera.pixels = frame.rgb
    camera.connect()
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: masks, "a mask")
    found = pixels_of(masks[-1])
    client.forget(masks)
    cone = frame.labels == CONE
    values, numbers = np.unique(found[cone], return_counts=True)
    taught = values[numbers.argmax()]
    assert (found[cone] == taught).mean() > 2 * (found[~cone] == taught).mean()


def test_a_recent_image_is_found_by_its_stamp(client: Client, frame: LabelledFrame) -> None:
    camera = FakeCamera(client)
    camera.pixels = frame.rgb
    camera.connect()
    masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
    camera.publish_until(lambda: masks, "a mask")
    stamp = masks[-1].header.stamp
    y, x = np.argwhere(frame.labels == CONE).mean(axis=0)
    answer = teach(client, name="seen", stamp=stamp, points=[float(x), float(y)])
    assert answer.success, answer.message
    answer = teach(client, name="seen", camera="/image", points=[float(x), float(y), 3.0, 3.0])
    assert answer.success and answer.examples == 3
    stamp.sec -= 100
    answer = teach(client, name="seen", stamp=stamp, points=[1.0, 1.0])
    assert not answer.success and "within 0.25 s of this stamp" in answer.message
    answer = teach(client, name="seen", camera="/rear", points=[1.0, 1.0])
    assert not answer.success and "no camera '/rear': give one of /image" in answer.message
    assert stamp_of(masks[-1]) >= 0 and counts(client)["seen"] == 3
    client.forget(masks)


@pytest.mark.parametrize(
    ("region", "says"),
    [
        ({}, "one of them"),
        ({"box": [1.0, 1.0, 5.0, 5.0], "points": [1.0, 1.0]}, "one of them"),
        ({"box": [1.0, 1.0]}, "other than 4"),
        ({"points": [1.0, 1.0, 2.0]}, "odd number"),
        ({"points": [float("nan"), 1.0]}, "NaN"),
        ({"points": [1.0, 1.0] * 10_000}, "at most 64"),
        ({"box": [5000.0, 1.0, 6000.0, 5.0]}, "outside the picture"),
        ({"mask": Image(width=4, height=4, encoding="rgb8", step=12, data=bytes(48))}, "mono8"),
        ({"mask": Image(width=4, height=4, encoding="mono8", step=4, data=bytes(3))}, "bytes"),
        ({"mask": Image(width=4, height=4, encoding="mono8", step=4, data=bytes(16))}, "shape"),
    ],
)
def test_bad_requests_are_answered(
    client: Client, frame: LabelledFrame, region: dict, says: str
) -> None:
    before = counts(client)
    answer = teach(client, name="bad", image=picture(frame), **region)
    assert not answer.success and says in answer.message
    assert counts(client) == before


def test_the_method_is_refused_while_examples_are_in_use(client: Client) -> None:
    successful, reason = client.set_parameters(method="cliper")
    assert not successful and "'cliper' cannot have classes given by examples" in reason


def test_examples_in_use_stay_until_the_prompts_let_them_go(
    client: Client, examples_file: Path
) -> None:
    answer = client.call(Forget, "/dinoiser/forget", name="blue tote", newest=1)
    assert answer.success and answer.examples == 1
    answer = client.call(Forget, "/dinoiser/forget", name="blue tote")
    assert not answer.success and "in the prompts in use" in answer.message
    nearest = set_prompts(client, "@blue toat", "floor")
    assert not nearest.success and "did you mean 'blue tote'" in nearest.message
    assert set_prompts(client, "floor", "wall").success
    for name in ("blue tote", "seen"):
        answer = client.call(Forget, "/dinoiser/forget", name=name)
        assert answer.success and answer.examples == 0
    assert counts(client) == {} and not examples_file.exists()
    answer = client.call(Forget, "/dinoiser/forget", name="blue tote")
    assert not answer.success and "Nothing was taught" in answer.message
