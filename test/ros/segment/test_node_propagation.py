# SPDX-License-Identifier: Apache-2.0
"""Masks between inferences, by a real node whose network is slow and knows bright squares only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
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

from dinoiser_ros.msg import MaskOrigin
from dinoiser_ros.srv import SetPrompts

# The node as it is, but for the network, which takes long and gives the last class to what is
# bright; and the motion, which fails while a file exists.
PROGRAM = """
import sys, time
from dataclasses import replace
from pathlib import Path
import numpy as np
import dinoiser_ros.segmentation.segmenter as module
import dinoiser_ros.temporal.stream as stream

fault, original, follow = Path({fault!r}), module.Segmenter.segment_batch, stream.MaskStream.picture

def segment_batch(self, images, whole):
    results = original(self, images, whole)
    time.sleep(0.5 * images[0].size / (3 * whole[0] * whole[1]))
    if images[0].shape[:2] != whole:
        print("window", *images[0].shape[:2], file=sys.stderr, flush=True)
    last = len(self.classes) - 1
    bright = [image.min(axis=-1) > 150 for image in images]
    labels = [np.where(b, last, 0).astype(np.uint8) for b in bright]
    return [
        replace(result, labels=found, confidence=np.full(found.shape, 0.9, np.float32))
        for result, found in zip(results, labels)
    ]

def picture(self, rgb, time):
    if fault.exists():
        raise ArithmeticError("no motion today")
    return follow(self, rgb, time)

module.Segmenter.segment_batch = segment_batch
stream.MaskStream.picture = picture
from dinoiser_ros.ros.segment.main import main
sys.exit(main())
"""
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = ["/front/image", "/rear/image"]
PROMPTS = ["floor", "wall", "person"]
SIDE = 60


class MovingSquare(FakeCamera):
    """A bright square that wanders over a textured floor, two pixels an image."""

    def __init__(self, client: Client, topic: str, size: tuple[int, int] = (120, 160)) -> None:
        super().__init__(client, topic, size)
        self._step = 0
        self.boxes: dict[int, tuple[int, int, int]] = {}  # stamp -> left, image height and width

    def publish(self, message: Any = None) -> int:
        height, width = self.pixels.shape[:2]
        noise = np.random.default_rng(3).integers(0, 140, (40, 60), dtype=np.uint8)
        self.pixels = np.repeat(
            cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[..., None], 3, axis=2
        )
        self.pixels = np.minimum(self.pixels, 140)
        way = width - SIDE
        left = way - abs((2 * self._step) % (2 * way) - way)
        square = np.random.default_rng(4).integers(160, 256, (SIDE // 4, SIDE // 4), dtype=np.uint8)
        square = np.repeat(np.repeat(square, 4, axis=0), 4, axis=1)
        self.pixels[30 : 30 + SIDE, left : left + SIDE] = square[..., None]
        self._step += 1
        stamp = super().publish(message)
        self.boxes[stamp] = (left, height, width)
        return stamp

    def truth(self, stamp: int) -> np.ndarray:
        """(H, W) bool: where the square was in the image of a stamp."""
        left, height, width = self.boxes[stamp]
        truth = np.zeros((height, width), bool)
        truth[30 : 30 + SIDE, left : left + SIDE] = True
        return truth

    def overlap(self, mask: Any, label: int) -> float:
        """IoU of a label with the square in the image of the mask's stamp."""
        return iou(pixels_of(mask) == label, self.truth(stamp_of(mask)))


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((truth & found).sum() / (truth | found).sum())


@pytest.fixture(scope="module")
def fault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("propagation") / "fault"


@pytest.fixture(scope="module")
def running(fault: Path) -> Iterator[tuple[Any, Client, MovingSquare, list]]:
    parameters = {"image_topics": TOPICS, "prompts": PROMPTS, "rate_mode": "propagate"}
    program = PROGRAM.format(fault=str(fault))
    with running_node(parameters, program=program) as (process, client):
        camera = MovingSquare(client, TOPICS[0])
        diagnostics = client.collect(DiagnosticArray, "/diagnostics", 10)
        camera.connect()
        yield process, client, camera, diagnostics


@pytest.fixture
def collect(running: tuple) -> Iterator[Any]:
    """Subscribe for the length of one test."""
    client, lists = running[1], []

    def subscribe(kind: type, topic: str, qos: Any = qos_profile_sensor_data, **more: Any) -> list:
        lists.append(client.collect(kind, topic, qos, **more))
        return lists[-1]

    yield subscribe
    for messages in lists:
        client.forget(messages)


def values(diagnostics: list, topic: str = TOPICS[0]) -> dict[str, str]:
    found = diagnostic(list(diagnostics), topic)
    return found[2] if found else {}


def source_of(origin: Any) -> int:
    """The stamp of the image that was inferred, in nanoseconds."""
    return origin.inferred_stamp.sec * 10**9 + origin.inferred_stamp.nanosec


def carried(origins: list) -> list:
    return [message for message in list(origins) if message.origin == MaskOrigin.CARRIED]


def test_masks_are_carried_to_the_images_between_two_inferences(
    running: tuple, collect: Any
) -> None:
    _, client, camera, diagnostics = running
    masks = collect(Image, "/front/dinoiser/mask")
    confidence = collect(Image, "/front/dinoiser/confidence")
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    rear, rear_masks = MovingSquare(client, TOPICS[1]), collect(Image, "/rear/dinoiser/mask")
    rear.connect()

    def enough() -> bool:
        rear.publish()
        return len(carried(origins)) >= 30 and len(rear_masks) >= 10

    camera.publish_until(enough, "30 carried masks")
    stamps = [stamp_of(mask) for mask in list(masks)]
    assert stamps == sorted(stamps) and set(stamps) <= set(camera.sent)
    for message in carried(origins):
        assert source_of(message) in camera.sent and source_of(message) < stamp_of(message)
    assert len({m.inferred_stamp.nanosec for m in carried(origins)}) >= 2, "results replace others"
    known = {stamp_of(message): source_of(message) for message in carried(origins)}
    there = [mask for mask in list(masks) if stamp_of(mask) in known]
    moved = [camera.overlap(mask, 2) for mask in there]
    stale = [iou(camera.truth(known[stamp_of(m)]), camera.truth(stamp_of(m))) for m in there]
    assert np.median(moved) > 0.6, "the square is where it is in that image"
    assert np.median(moved) > np.median(stale) + 0.15, "and not where it was"
    assert np.median([rear.overlap(mask, 2) for mask in list(rear_masks)]) > 0.6
    sure = {stamp_of(m): pixels_of(m).mean() for m in list(confidence) if stamp_of(m) in known}
    assert 0 < max(sure.values()) < 0.9 * 255, "less sure than what was inferred"
    wait_until(lambda: int(values(diagnostics).get("carried", 0)) >= 20, "them in diagnostics")
    counted = values(diagnostics)
    assert int(counted["published"]) > int(counted["inferred"]) > 0
    assert float(counted["carry_median_ms"]) > 0


def test_old_classes_are_never_carried_under_new_names(running: tuple, collect: Any) -> None:
    _, client, camera, _ = running
    journal: list = []
    masks = collect(Image, "/front/dinoiser/mask", journal=journal)
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    collect(LabelInfo, "/front/dinoiser/label_info", LATCHED, journal=journal)
    camera.publish_until(lambda: carried(origins), "a carried mask")
    for prompts in (["background", "box"], PROMPTS):
        assert client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts).success
        seen = len(masks)
        camera.publish_until(lambda seen=seen: len(masks) > seen + 8, "masks of new prompts")
    ids, checked = (), set()
    for message in list(journal):
        if isinstance(message, LabelInfo):
            ids = tuple(entry.class_id for entry in message.class_map)
        elif ids:
            assert set(np.unique(pixels_of(message)).tolist()) <= {ids[0], ids[-1]}
            checked.add(ids)
    assert checked == {(0, 1, 2), (3, 4)}, "new classes have ids that no other class had"


def test_another_size_starts_afresh(running: tuple, collect: Any) -> None:
    _, client, camera, _ = running
    masks = collect(Image, "/front/dinoiser/mask")
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    for size in ((144, 192), (120, 160)):
        camera.pixels = np.zeros((*size, 3), np.uint8)
        start = camera.publish()

        def newer(start: int = start) -> bool:
            return len([o for o in carried(origins) if stamp_of(o) > start]) > 3

        camera.publish_until(newer, "carried masks of this size")
    for mask in list(masks):
        assert (mask.height, mask.width) == camera.boxes[stamp_of(mask)][1:]


def test_windows_go_to_the_network_and_whole_masks_come_out(running: tuple, collect: Any) -> None:
    process, client, camera, _ = running
    masks = collect(Image, "/front/dinoiser/mask")
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    assert client.set_parameters(inference_window=0.25) == (True, "")
    camera.publish_until(lambda: process.log.count("window 120 ") >= 5, "windows")
    start = camera.publish()

    def later() -> list:
        return [m for m in list(masks) if stamp_of(m) > start]

    camera.publish_until(lambda: len(later()) >= 30, "30 masks")
    assert {(mask.height, mask.width) for mask in later()} == {(120, 160)}
    assert np.median([camera.overlap(mask, 2) for mask in later()]) > 0.6
    sources = {source_of(message) for message in carried(origins) if stamp_of(message) > start}
    assert len(sources) >= 3 and sources <= set(camera.sent)
    # Other prompts need a whole image first; the windows after it are theirs.
    assert client.call(SetPrompts, "/dinoiser/set_prompts", prompts=["wall", "crate"]).success
    renamed, before = camera.publish(), process.log.count("window 120 ")
    camera.publish_until(lambda: process.log.count("window 120 ") >= before + 3, "more windows")
    camera.publish_until(
        lambda: len([m for m in list(masks) if stamp_of(m) > renamed]) > 8, "masks"
    )
    assert client.call(SetPrompts, "/dinoiser/set_prompts", prompts=PROMPTS).success
    assert client.set_parameters(inference_window=1.0) == (True, "")
    accepted, reason = client.set_parameters(inference_window=0.0)
    assert not accepted and "0.1" in reason


def test_what_fails_is_noted_and_the_inferred_masks_go_on(
    running: tuple, collect: Any, fault: Path
) -> None:
    process, client, camera, diagnostics = running
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    fault.touch()
    start = camera.publish()

    def later(origin: int, start: int) -> bool:
        return any(m.origin == origin and stamp_of(m) > start for m in list(origins))

    camera.publish_until(lambda: later(MaskOrigin.INFERRED, start), "an inferred mask")
    wait_until(lambda: "no motion today" in process.log, "the note")
    fault.unlink()
    again = camera.publish()
    camera.publish_until(lambda: later(MaskOrigin.CARRIED, again), "a carried mask, as before")
    assert client.state() == "active" and "Traceback" not in process.log


def test_nothing_is_published_once_deactivate_has_returned(running: tuple, collect: Any) -> None:
    _, client, camera, _ = running
    masks = collect(Image, "/front/dinoiser/mask")
    camera.publish_until(lambda: len(masks) > 3, "masks")
    assert client.change_state("deactivate")
    time.sleep(0.3)  # what is on its way
    seen, end = len(masks), time.monotonic() + 1.0
    while time.monotonic() < end:
        camera.publish()
        time.sleep(0.05)
    assert len(masks) == seen
    assert client.change_state("activate")
    camera.publish_until(lambda: len(masks) > seen + 3, "masks again")


def test_nothing_is_computed_for_nobody(running: tuple) -> None:
    _, _, camera, diagnostics = running
    end = time.monotonic() + 2.5  # an inference that had begun ends, and is reported
    while time.monotonic() < end:
        camera.publish()
        time.sleep(0.05)
    before = values(diagnostics)
    reports = len(diagnostics)

    def reported() -> bool:
        camera.publish()
        time.sleep(0.05)
        return len(diagnostics) >= reports + 2

    wait_until(reported, "two reports")
    after = values(diagnostics)
    assert int(after["not_wanted"]) > int(before["not_wanted"])
    for name in ("carried", "inferred", "published"):
        assert after[name] == before[name]


def test_modes_change_while_the_node_runs(running: tuple, collect: Any) -> None:
    _, client, camera, _ = running
    origins = collect(MaskOrigin, "/front/dinoiser/mask_origin")
    masks = collect(Image, "/front/dinoiser/mask")
    assert client.set_parameters(rate_mode="off", temporal="smooth") == (True, "")
    camera.publish_until(lambda: len([m for m in list(origins) if m.smoothed]) >= 4, "fused masks")
    fused = {stamp_of(m) for m in list(origins) if m.smoothed and m.origin == MaskOrigin.INFERRED}
    assert len(fused) >= 3
    overlaps = [camera.overlap(mask, 2) for mask in list(masks) if stamp_of(mask) in fused]
    assert min(overlaps) > 0.75
    assert client.set_parameters(temporal="off") == (True, "")
    camera.publish()
    start = camera.sent[-1]

    def plain() -> list:
        return [m for m in list(origins) if stamp_of(m) > start and not m.smoothed]

    camera.publish_until(lambda: len(plain()) >= 3, "masks of the network alone")
    assert not carried(plain()[1:]), "off: nothing is carried"
    accepted, reason = client.set_parameters(rate_mode="always")
    assert not accepted and "off" in reason and "propagate" in reason
