# SPDX-License-Identifier: Apache-2.0
"""Objects over real topics: a node whose network reads the true labels from the picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from depth_camera import FOCAL, FakeDepthCamera
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import Client, diagnostic, running_node, stamp_of, wait_until
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.msg import InstanceArray, MaskOrigin
from dinoiser_ros.sim.classes import CLASS_IDS, OBJECT_IDS
from dinoiser_ros.sim.gl import RendererUnavailable
from dinoiser_ros.sim.patrol import PatrolRobot
from dinoiser_ros.srv import SetPrompts

PROMPTS = ["wooden floor", "white wall", "person", "chair", "box"]
FLOOR, PERSON, CHAIR = (CLASS_IDS[name] for name in ("wooden floor", "person", "chair"))
NODE = {
    "prompts": PROMPTS,
    "image_topics": ["/front/image", "/plain/image"],
    "depth_topics": ["/front/depth", ""],
    "camera_info_topics": ["/front/camera_info", ""],
    "object_classes": ["person", "chair", "boxes"],
    "object_min_size": 0.01,
}
# The node as it is, but for its network: red is a class of the simulator, green the confidence.
PROGRAM = """
import dataclasses, sys
import numpy as np
import dinoiser_ros.segmentation.segmenter as module
from dinoiser_ros.sim.classes import CLASSES

original = module.Segmenter.segment_batch

def segment_batch(self, images, whole=None):
    table = np.full(256, 255, np.uint8)
    for entry in self.classes:
        table[CLASSES.index(entry.name)] = entry.id
    return [
        dataclasses.replace(
            result, labels=table[image[..., 0]], confidence=image[..., 1] / np.float32(255)
        )
        for image, result in zip(images, original(self, images, whole), strict=True)
    ]

module.Segmenter.segment_batch = segment_batch
from dinoiser_ros.ros.segment.main import main
sys.exit(main())
"""
KINDS = {
    "detections": Detection2DArray,
    "detections_3d": Detection3DArray,
    "instances": InstanceArray,
}
HEIGHT, WIDTH = 48, 64
NEAR, FAR = 1.0, 2.0
LOST = 3.0  # seconds after which an image is sent again


class Stage:
    """A camera whose pictures are labels, and what the node says of them."""

    def __init__(self, client: Client, camera: FakeDepthCamera, seconds: float) -> None:
        self.client = client
        self.camera = camera
        self.seconds = seconds
        self.received: dict[str, list] = {}

    def subscribe(self, *topics: str) -> None:
        name = f"/{self.camera.frame_id.split('_')[0]}/dinoiser"
        for topic in topics:
            self.received[topic] = self.client.collect(KINDS[topic], f"{name}/{topic}", 10)

    def show(
        self,
        labels: np.ndarray,
        depth: np.ndarray | None,
        passed: float = 0.1,
        confidence: int = 230,
    ) -> dict[str, Any]:
        """The messages about a picture that comes some seconds after the one before."""
        self.seconds += passed
        stamp = time_of(self.seconds)
        picture = np.zeros((*labels.shape, 3), np.uint8)
        picture[..., 0], picture[..., 1] = labels, confidence
        header = Header(stamp=stamp, frame_id=self.camera.frame_id)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if depth is not None:
                self.camera.publish_info(stamp)
                self.camera.publish_depth(stamp, (depth * 1000).astype(np.uint16))
            self.camera._publisher.publish(image_message(picture, "rgb8", header))
            again = time.monotonic() + LOST
            while time.monotonic() < again:
                found = self._about(stamp)
                if len(found) == len(self.received):
                    return found
                time.sleep(0.005)
        raise AssertionError(f"only {list(found)} came")

    def _about(self, stamp: Time) -> dict[str, Any]:
        return {
            topic: message
            for topic, messages in self.received.items()
            for message in list(messages)[-3:]
            if message.header.stamp == stamp
        }


def time_of(seconds: float) -> Time:
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def scene(left: int = 10, person: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Two chairs, one right behind the other, a speck, and perhaps a person: labels and depth."""
    labels = np.full((HEIGHT, WIDTH), FLOOR, np.uint8)
    depth = np.full((HEIGHT, WIDTH), 4.0)
    labels[10:30, 40:50], depth[10:30, 40:50] = CHAIR, NEAR
    labels[10:30, 50:58], depth[10:30, 50:58] = CHAIR, FAR
    labels[2:4, 2:4] = PERSON
    if person:
        labels[20:44, left : left + 8], depth[20:44, left : left + 8] = PERSON, 1.5
    return labels, depth


def ids(message: Any) -> dict[str, list[str]]:
    """Class name -> ids of its detections."""
    found: dict[str, list[str]] = {}
    for one in message.detections:
        found.setdefault(one.results[0].hypothesis.class_id, []).append(one.id)
    return found


@pytest.fixture(scope="module")
def node() -> Iterator[Any]:
    with running_node(NODE, program=PROGRAM) as node:
        yield node


@pytest.fixture(scope="module")
def client(node: Any) -> Client:
    return node[1]


@pytest.fixture(scope="module")
def diagnostics(client: Client) -> list:
    return client.collect(DiagnosticArray, "/diagnostics", 10)


@pytest.fixture(scope="module")
def stage(client: Client) -> Stage:
    camera = FakeDepthCamera(client, "/front")
    camera.connect()
    stage = Stage(client, camera, 1000.0)
    stage.subscribe(*KINDS)

    def depth_is_read() -> bool:  # an image lets the node see that there are subscribers
        camera.publish()
        time.sleep(0.05)
        return camera.depth_is_read

    wait_until(depth_is_read, "a subscription of the depth")
    return stage


def count(diagnostics: list, name: str, camera: str = "/front") -> int:
    status = diagnostic(list(diagnostics), f"{camera}/image")
    return int(status[2].get(name, 0)) if status else 0


def test_objects_have_their_pixels_boxes_and_scores(stage: Stage) -> None:
    labels, depth = scene()
    for _ in range(4):
        found = stage.show(labels, depth)
    flat, deep, mask = (found[topic] for topic in KINDS)
    assert mask.header.frame_id == flat.header.frame_id == stage.camera.frame_id
    assert deep.header.frame_id == stage.camera.depth_frame
    pixels = np.frombuffer(mask.mask.data, np.uint8).reshape(HEIGHT, WIDTH)
    # The chairs touch in the image and are two; the speck is too small; the floor is no object.
    assert [(one.class_name, one.pixel_count) for one in mask.instances] == [
        ("chair", 200),
        ("person", 192),
        ("chair", 160),
    ]
    assert set(pixels[labels == FLOOR]) == {0}
    for value, part in (
        (1, np.s_[10:30, 40:50]),
        (2, np.s_[20:44, 10:18]),
        (3, np.s_[10:30, 50:58]),
    ):
        assert (pixels[part] == value).all() and (pixels == value).sum() == pixels[part].size
    person = next(one for one in flat.detections if one.results[0].hypothesis.class_id == "person")
    assert (person.bbox.center.position.x, person.bbox.center.position.y) == (14.0, 32.0)
    assert (person.bbox.size_x, person.bbox.size_y) == (8.0, 24.0)
    assert person.results[0].hypothesis.score == pytest.approx(230 / 255, abs=1e-3)
    solid = next(one for one in deep.detections if one.id == person.id)
    at = solid.bbox.center.position
    assert at == solid.results[0].pose.pose.position
    assert (at.x, at.y, at.z) == pytest.approx(
        ((13.5 - WIDTH / 2) / FOCAL * 1.5, (31.5 - HEIGHT / 2) / FOCAL * 1.5, 1.5), abs=0.01
    )
    assert solid.bbox.size.y == pytest.approx(23 / FOCAL * 1.5, rel=0.1)
    assert sorted(str(one.track_id) for one in mask.instances) == sorted(
        one.id for one in flat.detections
    )


def test_ids_survive_a_second_of_hiding_and_other_prompts(node: Any, stage: Stage) -> None:
    for step in range(4):
        before = ids(stage.show(*scene(10 + step))["detections"])
    assert all(all(numbers) for numbers in before.values()), "each has a number by now"
    for step in range(10):  # a second; the prompts change meanwhile
        if step == 5:
            prompts = ["box", "chair", "ball", "person", "white wall", "wooden floor"]
            assert stage.client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts).success
        hidden = stage.show(*scene(person=False))["detections"]
        assert ids(hidden) == {"chair": before["chair"]}
    after = ids(stage.show(*scene(20))["detections"])
    assert after == before
    assert stage.client.call(SetPrompts, "/dinoiser/set_prompts", prompts=PROMPTS).success


def test_a_clock_that_goes_back_starts_afresh(stage: Stage) -> None:
    for _ in range(3):
        before = ids(stage.show(*scene())["detections"])
    assert set(ids(stage.show(*scene(), passed=-500.0)["detections"])["person"]) == {""}
    for _ in range(3):
        after = ids(stage.show(*scene())["detections"])
    used = {int(number) for numbers in before.values() for number in numbers}
    assert min(int(number) for numbers in after.values() for number in numbers) > max(used)


def test_nothing_and_ten_thousand_specks_are_no_objects(stage: Stage) -> None:
    labels, depth = scene()
    nothing = stage.show(np.full_like(labels, FLOOR), depth)
    assert not any((nothing["detections"].detections, nothing["instances"].instances))
    rng = np.random.default_rng(0)
    specks = stage.show(rng.choice([PERSON, CHAIR, FLOOR], labels.shape).astype(np.uint8), depth)
    assert len(specks["detections"].detections) < 20
    unsure = stage.show(labels, depth, confidence=100)
    assert not unsure["detections"].detections


def test_depth_that_cannot_be_used_costs_the_third_dimension_only(
    node: Any, stage: Stage, diagnostics: list
) -> None:
    labels, depth = scene()
    hole = stage.show(labels, np.where(labels == PERSON, 0.0, depth))
    assert set(ids(hole["detections"])) == {"person", "chair"}
    assert set(ids(hole["detections_3d"])) == {"chair"}
    deep = stage.received.pop("detections_3d")
    start = len(deep)
    try:
        before = count(diagnostics, "bad_depth_size")
        wrong = stage.show(labels, np.full((60, 30), 1.0))
        assert set(ids(wrong["detections"])) == {"person", "chair"}
        wait_until(lambda: count(diagnostics, "bad_depth_size") > before, "the fault to be counted")
        before = count(diagnostics, "without_depth")
        none = stage.show(labels, None, passed=5.0)
        # Without depth the two chairs are one.
        assert len(ids(none["detections"])["chair"]) == 1
        wait_until(lambda: count(diagnostics, "without_depth") > before, "the image to be counted")
        assert len(deep) == start
    finally:
        stage.received["detections_3d"] = deep
    assert len(ids(stage.show(labels, depth)["detections_3d"])["chair"]) == 2
    assert "Traceback" not in node[0].log


def test_classes_that_no_prompt_has_are_named(node: Any, stage: Stage) -> None:
    words = "no prompt has the class 'boxes' (did you mean 'box'?) of object_classes"
    assert words in node[0].log
    assert stage.client.set_parameters(object_classes=["chair"]) == (True, "")
    assert set(ids(stage.show(*scene())["detections"])) == {"chair"}
    assert stage.client.set_parameters(object_classes=[""]) == (True, "")
    assert set(ids(stage.show(*scene())["detections"])) == {"person", "chair"}


def test_carried_masks_have_objects(stage: Stage) -> None:
    origins = stage.client.collect(
        MaskOrigin, "/front/dinoiser/mask_origin", qos_profile_sensor_data
    )
    changes = {"rate_mode": "propagate", "max_rate": 1.0}
    assert stage.client.set_parameters(**changes) == (True, "")
    try:
        numbers = set()

        def carried() -> bool:
            message = stage.show(*scene(), passed=0.05)["detections"]
            numbers.update(ids(message)["person"])
            found = {stamp_of(one) for one in list(origins) if one.origin == MaskOrigin.CARRIED}
            return stamp_of(message) in found

        wait_until(carried, "objects of a carried mask")
    finally:
        stage.client.forget(origins)
        reset = stage.client.set_parameters(rate_mode="off", max_rate=0.0)
    assert reset == (True, "")
    assert len(numbers - {""}) <= 1, "the same object throughout"


def test_a_camera_without_depth_has_objects_of_its_own(
    client: Client, stage: Stage, diagnostics: list
) -> None:
    camera = FakeDepthCamera(client, "/plain")
    camera.connect()
    names = [name for name, _ in client.node.get_topic_names_and_types()]
    assert "/front/dinoiser/detections_3d" in names
    assert "/plain/dinoiser/detections_3d" not in names
    assert count(diagnostics, "objects_published", "/plain") == 0
    plain = Stage(client, camera, 2000.0)
    plain.subscribe("detections")
    assert set(ids(plain.show(scene()[0], None)["detections"])) == {"person", "chair"}


def test_the_simulated_objects_keep_their_ids_on_a_drive(stage: Stage) -> None:
    """Every true object of some size has a detection; each detection's id is of one object."""
    assert stage.client.set_parameters(object_classes=[""]) == (True, "")
    from dinoiser_ros.sim.classes import CLASSES

    answer = stage.client.call(SetPrompts, "/dinoiser/set_prompts", prompts=list(CLASSES))
    assert answer.success
    stage.seconds += 100
    owners: dict[str, set[int]] = {}
    try:
        with PatrolRobot(301, 160, 120) as robot:
            for step in range(12):
                frame = robot.frame(step * 0.1, depth=True)
                depth = np.where(np.isfinite(frame.depth), frame.depth, 0.0)
                message = stage.show(frame.labels, depth)["instances"]
                pixels = np.frombuffer(message.mask.data, np.uint8).reshape(120, 160)
                for one in message.instances:
                    things, counts = np.unique(
                        frame.instances[pixels == one.value], return_counts=True
                    )
                    owners.setdefault(str(one.track_id), set()).add(int(things[counts.argmax()]))
                things, counts = np.unique(frame.instances, return_counts=True)
                for thing, size in zip(things, counts, strict=True):
                    whole = thing != 255 and size > 0.02 * pixels.size
                    if whole and frame.things[thing].class_id in OBJECT_IDS:
                        own = pixels[frame.instances == thing]
                        assert (own > 0).mean() > 0.9
    except RendererUnavailable as error:
        pytest.skip(str(error))
    assert len(owners) > 1
    assert all(len(things) == 1 for number, things in owners.items() if number != "0")
