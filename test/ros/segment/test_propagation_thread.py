# SPDX-License-Identifier: Apache-2.0
"""The propagation thread with stand-ins for cameras and network: what is published, and when."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from moving_pictures import coloured, texture, window
from ros_helpers import wait_until
from std_msgs.msg import Header

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.inference.pending_frame import PendingFrame
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.parameters import SPECS
from dinoiser_ros.ros.segment.propagation import propagation_thread
from dinoiser_ros.ros.segment.propagation.inferred import Inferred
from dinoiser_ros.ros.segment.propagation.propagation_thread import PropagationThread
from dinoiser_ros.ros.segment.propagation.publishing_gate import PublishingGate
from dinoiser_ros.segmentation.result import Segmentation
from dinoiser_ros.segmentation.text.vocabulary import SegmentationClass
from dinoiser_ros.temporal.stream import MAX_GAP, MaskStream
from dinoiser_ros.temporal.windows import Window

CLASSES = (SegmentationClass(0, "floor", ("floor",)), SegmentationClass(1, "box", ("box",)))
PLACE = texture(0)


@dataclass
class Publishers:
    """Notes what is published: (number of the image, number it was carried from, segmentation)."""

    classes: tuple = CLASSES
    has_subscriber: bool = True
    published: list[tuple[int, int | None, Segmentation]] = field(default_factory=list)

    def have_subscribers(self) -> bool:
        return self.has_subscriber

    def announced(self, classes: tuple) -> bool:
        return classes == self.classes

    def publish(
        self,
        segmentation: Any,
        image: Any,
        header: Any,
        settings: Any,
        size: tuple[int, int] | None,
        origin: Any,
        smoothed: bool,
    ) -> None:
        assert size == (3, 4)
        source = None if origin is None else origin.sec
        self.published.append((header.stamp.sec, source, segmentation))

    @property
    def order(self) -> list[tuple[int, int | None]]:
        return [(number, source) for number, source, _ in self.published]


@dataclass
class Points:
    """Notes whose clouds are published: (number of the image, its depth, segmentation)."""

    published: list[tuple[int, int, Segmentation]] = field(default_factory=list)

    def publish(self, frame: Any, depth: Any, settings: Any) -> None:
        self.published.append((frame.header.stamp.sec, depth, frame.segmentation))


class Setup:
    """A thread of one camera, whose images are a tenth of a second apart."""

    def __init__(self, **changes: Any) -> None:
        from rclpy.clock import Clock

        self.reports: list[str] = []
        publishers = Publishers()
        self.camera = SimpleNamespace(
            topic="/camera",
            publishers=publishers,
            statistics=CameraStatistics(0.0),
            points=Points(),
            mask_size=lambda settings: (3, 4),
            have_subscribers=publishers.have_subscribers,
            expect_depth=lambda message: message.header.stamp.sec * 10,
        )
        self.settings = {spec.name: spec.default for spec in SPECS}
        self.settings |= {"rate_mode": "propagate", **changes}
        self.gate = PublishingGate()
        self.thread = PropagationThread(
            [self.camera], self.gate, lambda: self.settings, Clock(),
            lambda kind, text: self.reports.append(text),
        )  # fmt: skip
        self.gate.open()
        self.thread.activate()

    @property
    def publishers(self) -> Publishers:
        return self.camera.publishers

    def frame(self, number: int) -> PendingFrame:
        image = coloured(window(PLACE, (2 * number, 0)))
        header = Header(frame_id="camera")
        header.stamp.sec = number
        return PendingFrame(self.camera, header, image, number / 10, 0.0, number * 10)

    def image(self, number: int) -> None:
        """An image arrives, and is handled before the next thing happens."""
        frame = self.frame(number)
        message = image_message(frame.image, "rgb8", frame.header)
        self.thread.put(self.camera, message, frame.received)
        self.settle()

    def begin(self, number: int, part: Window | None = None) -> None:
        frame = self.frame(number)
        frame.window = part
        self.thread.begin(frame)
        self.settle()

    def result(
        self,
        number: int,
        classes: tuple = CLASSES,
        confidence: float = 0.9,
        part: Window | None = None,
    ) -> bool:
        labels = np.zeros((120, 160), np.uint8)
        labels[30:90, 40:100] = 1
        labels = labels if part is None else part.of(labels)
        sure = np.full(labels.shape, confidence, np.float32)
        segmentation = Segmentation(labels, sure, classes, 255)
        frame = self.frame(number)
        frame.window = part
        taken = self.thread.result(Inferred(frame, segmentation, "words", "", 1.0))
        self.settle()
        return taken

    def window(self, number: int, making: tuple = ("words", "")) -> Window | None:
        return self.thread.window(self.frame(number), [40], making)

    def settle(self) -> None:
        """Wait until the thread has nothing to do."""
        queue = self.thread._queue
        wait_until(lambda: all(place.frame is None for place in queue._places), "the image taken")
        done = threading.Event()
        queue.call(done.set)
        assert done.wait(30)


@pytest.fixture
def make() -> Iterator[Callable[..., Setup]]:
    made = []

    def create(**changes: Any) -> Setup:
        made.append(Setup(**changes))
        return made[-1]

    yield create
    assert all(setup.thread.close(10) for setup in made)


@pytest.fixture
def setup(make: Callable) -> Setup:
    """Image 0 is inferred and published, 1 to 3 got its mask, and 2 is with the network."""
    setup = make()
    setup.image(0)
    setup.begin(0)
    assert setup.result(0)
    for number in (1, 2, 3):
        setup.image(number)
        if number == 2:
            setup.begin(2)
    return setup


def test_each_image_gets_one_mask_in_order(setup: Setup) -> None:
    assert setup.publishers.order == [(0, None), (1, 0), (2, 0), (3, 0)]
    assert setup.result(2)
    assert len(setup.publishers.order) == 4, "images 2 and 3 have their masks"
    setup.image(4)
    assert setup.publishers.order[4:] == [(4, 2)]
    totals = setup.camera.statistics.totals()
    assert (totals.inferred, totals.carried, totals.published) == (2, 4, 5)


def test_each_mask_has_clouds_with_the_depth_of_its_own_image(setup: Setup) -> None:
    setup.begin(3)
    setup.result(3)
    setup.image(4)
    masks, clouds = setup.publishers.published, setup.camera.points.published
    assert [number for number, _, _ in masks] == [0, 1, 2, 3, 4]
    assert [(number, depth) for number, depth, _ in clouds] == [(n, n * 10) for n in range(5)]
    for (_, _, mask), (_, _, cloud) in zip(masks, clouds, strict=True):
        assert cloud is mask


def test_a_first_result_is_carried_to_the_newest_image(make: Callable) -> None:
    setup = make()
    setup.image(0)
    setup.begin(0)
    for number in (1, 2):
        setup.image(number)
    setup.result(0)
    assert setup.publishers.order == [(2, 0)]


def test_unsure_pixels_of_a_carried_mask_become_unlabeled(setup: Setup) -> None:
    setup.settings["confidence_threshold"] = 0.85
    setup.image(4)
    (_, source, carried) = setup.publishers.published[-1]
    assert source == 0
    unsure = carried.confidence < 0.85
    assert unsure.any() and (carried.labels[unsure] == 255).all()
    assert (carried.labels[~unsure] != 255).all()


def test_other_classes_end_what_is_carried(setup: Setup) -> None:
    setup.publishers.classes = (SegmentationClass(0, "wall", ("wall",)),)
    setup.image(4)
    setup.result(2)  # of the old classes, too late
    setup.image(5)
    assert setup.publishers.order[4:] == []
    setup.begin(5)
    setup.result(5, setup.publishers.classes)
    assert setup.publishers.order[4:] == [(5, None)]


def test_other_ids_of_the_same_prompts_end_what_is_fused(make: Callable) -> None:
    setup = make(rate_mode="off", temporal="smooth")
    setup.image(0)
    setup.begin(0)
    setup.result(0)
    other = (SegmentationClass(0, "box", ("box",)), SegmentationClass(1, "floor", ("floor",)))
    setup.publishers.classes = other
    setup.image(1)
    setup.begin(1)
    setup.result(1, other, confidence=0.3)
    (_, _, mask) = setup.publishers.published[-1]
    np.testing.assert_allclose(mask.confidence, 0.3, atol=1e-3)


def test_nothing_is_carried_where_the_network_keeps_up(make: Callable) -> None:
    setup = make()
    for number in range(6):
        setup.image(number)
        setup.begin(number)
        setup.result(number)
    # Until the rates are known, an image may get a carried mask.
    assert setup.publishers.order[2:] == [(number, None) for number in range(2, 6)]


def test_a_failure_is_reported_and_the_result_published_as_it_is(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room")

    setup.begin(3)
    with monkeypatch.context() as patch:
        patch.setattr(MaskStream, "result", fail)
        patch.setattr(MaskStream, "picture", fail)
        setup.image(4)  # no mask
        setup.begin(4)
        setup.result(4)
    assert setup.publishers.order[4:] == [(4, None)]
    assert any("no room" in text for text in setup.reports)
    for number in (5, 6):
        setup.image(number)
    setup.begin(6)
    setup.result(6)
    setup.image(7)
    assert setup.publishers.order[5:] == [(6, None), (7, 6)], "and it goes on"


@pytest.fixture
def windows(make: Callable) -> Setup:
    """Image 0 was inferred as a whole, images 1 to 3 have its mask."""
    setup = make(inference_window=0.25)
    setup.image(0)
    assert setup.window(0) is None
    setup.begin(0)
    setup.result(0)
    for number in (1, 2, 3):
        setup.image(number)
    return setup


def test_windows_follow_a_whole_image(windows: Setup) -> None:
    part = windows.window(3)
    assert part is not None and (part.height, part.width) == (120, 40)
    windows.begin(3, part)
    for number in (4, 5):
        windows.image(number)
    windows.result(3, part=part, confidence=1.0)
    windows.image(6)
    assert windows.publishers.order[4:] == [(4, 0), (5, 0), (6, 3)]
    mask = windows.publishers.published[-1][2]
    assert mask.labels.shape == (120, 160) and (mask.labels == 1).any()
    assert part.of(mask.confidence)[:, :30].min() > mask.confidence.min()


def test_a_window_of_the_newest_image_is_published_as_carried(windows: Setup) -> None:
    part = Window(0, 120, 120, 40)
    windows.begin(4, part)
    windows.result(4, part=part)
    assert windows.publishers.order[-1] == (4, 4), "all but the window is carried"


def test_unsure_pixels_around_a_window_become_unlabeled(windows: Setup) -> None:
    windows.settings["confidence_threshold"] = 0.85
    part = Window(0, 120, 120, 40)
    windows.begin(4, part)
    windows.result(4, part=part)
    (number, _, mask) = windows.publishers.published[-1]
    unsure = mask.confidence < 0.85
    assert number == 4 and unsure.any() and (mask.labels[unsure] == 255).all()


def test_after_a_pause_a_whole_image_is_needed(windows: Setup) -> None:
    assert windows.window(4) is not None
    assert windows.window(4 + int(10 * MAX_GAP) + 1) is None


def test_another_vocabulary_needs_a_whole_image(windows: Setup) -> None:
    assert windows.window(3) is not None
    other = ("other words", "")
    assert windows.window(3, other) is None
    assert windows.window(3, other) is not None


@pytest.mark.parametrize("kind", ["classes", "failure"])
def test_a_window_is_never_published_as_a_mask(
    windows: Setup, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    part = windows.window(3)
    windows.begin(3, part)
    before = list(windows.publishers.order)
    if kind == "failure":
        monkeypatch.setattr(MaskStream, "result", lambda *_, **__: 1 / 0)
    else:
        windows.publishers.classes = (SegmentationClass(0, "wall", ("wall",)),)
    windows.result(3, windows.publishers.classes, part=part)
    assert windows.publishers.order == before
    assert windows.window(3) is None, "a whole image is next"


def test_other_sizes_and_whole_images_have_no_windows(windows: Setup) -> None:
    frame = windows.frame(3)
    frame.image = frame.image[:100]
    assert windows.thread.window(frame, [40], ("words", "")) is None
    assert windows.thread.window(windows.frame(3), [160], ("words", "")) is None
    windows.settings["inference_window"] = 1.0
    windows.image(4)
    assert windows.window(4) is None


def test_broken_messages_and_those_for_nobody_are_left_out(setup: Setup) -> None:
    message = image_message(np.zeros((4, 4, 3), np.uint8), "rgb8", Header())
    message.encoding = "nonsense"
    setup.thread.put(setup.camera, message, 0.4)
    setup.settle()
    setup.publishers.has_subscriber = False
    setup.image(4)
    assert len(setup.publishers.order) == 4
    setup.publishers.has_subscriber = True
    setup.image(4)
    assert setup.publishers.order[4:] == [(4, 0)] and setup.reports == []


def test_it_is_off_unless_asked_for(make: Callable) -> None:
    setup = make(rate_mode="off")
    setup.image(0)
    setup.begin(0)
    assert not setup.result(0), "the inference thread publishes"
    assert setup.publishers.order == []


def test_nothing_passes_a_shut_gate(setup: Setup) -> None:
    setup.gate.shut()
    setup.image(4)
    setup.result(2)
    assert len(setup.publishers.order) == len(setup.camera.points.published) == 4


def test_a_faster_network_waits(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise results would pile up, with their images."""
    monkeypatch.setattr(propagation_thread, "_PATIENCE", 0.05)
    setup, held = make(), threading.Event()
    frame = setup.frame(0)
    labels = np.zeros((120, 160), np.uint8)
    segmentation = Segmentation(labels, np.ones(labels.shape, np.float32), CLASSES, 255)
    inferred = Inferred(frame, segmentation, "words", "", 1.0)
    setup.thread._queue.call(held.wait)
    taken = [setup.thread.result(inferred) for _ in range(4)]
    held.set()
    assert taken == [True, True, False, False]


def test_without_opencv_the_network_publishes_and_it_is_said(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = "dinoiser_ros.ros.segment.propagation.camera_masks"
    monkeypatch.setitem(sys.modules, masks, None)
    setup = make()
    setup.image(0)
    setup.begin(0)
    assert not setup.result(0)
    assert "install OpenCV" in setup.reports[0]


def test_a_node_starts_without_opencv() -> None:
    """Some cameras need it, and masks that are carried; the others do not wait for it either."""
    code = "import sys; sys.modules['cv2'] = None; import dinoiser_ros.ros.segment.node"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
