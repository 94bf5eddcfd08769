# SPDX-License-Identifier: Apache-2.0
"""The inference thread with a stand-in for the model: batches, failures, order, and its end."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from ros_helpers import wait_until
from std_msgs.msg import Header

from dinoiser_ros.messages.class_ids import BY_NAME
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.class_numbering import ClassNumbering
from dinoiser_ros.ros.segment.image_subscription import ImageSubscription
from dinoiser_ros.ros.segment.inference import memory
from dinoiser_ros.ros.segment.inference.inference_thread import InferenceThread
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.parameters import SPECS


class OutOfMemoryError(RuntimeError):
    """As torch's, by name."""


class Model:
    """A segmenter that notes what it is asked and fails on demand."""

    classes: tuple = ()
    confidence_threshold = 0.0
    inference_size: int | None = 448
    default_inference_size = 448
    device = "cuda:0"
    cuda_graphs_problem: str | None = None
    engine_problem: str | None = None
    world = "the simulated world: use the model 'vit-b-16'"
    familiar = True

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fail: Callable[[list], None] = lambda images: None

    def segment_batch(self, images: list[np.ndarray], whole: tuple[int, int]) -> list[Any]:
        self.batches.append(len(images))
        self.fail(images)
        return [
            SimpleNamespace(classes=(), labels=image, familiar=self.familiar) for image in images
        ]

    def set_options(self, inference_size: int) -> None:
        self.inference_size = inference_size


@dataclass
class Publishers:
    """Notes what is published."""

    has_subscriber: bool = True
    published: list[str] = field(default_factory=list)

    def have_subscribers(self) -> bool:
        return self.has_subscriber

    def publish_label_info(self, *_: Any) -> None:
        """Nothing to note."""

    def publish(
        self, segmentation: Any, image: Any, header: Header, settings: Any, size: Any
    ) -> None:
        assert size is None  # that of the image
        self.published.append(header.frame_id)


class Setup:
    """The thread with cameras and everything around it."""

    def __init__(self, cameras: int = 1) -> None:
        from rclpy.clock import Clock

        self.model = Model()
        self.reports: list[str] = []
        self.lost: list[str] = []
        self.cameras = [
            ImageSubscription(Mock(), f"/{i}", "raw", Publishers(), CameraStatistics(0.0), Mock())
            for i in range(cameras)
        ]
        settings = {spec.name: spec.default for spec in SPECS}
        self.thread = InferenceThread(
            self.model,
            self.cameras,
            settings,
            ClassNumbering(BY_NAME),
            Clock(),
            lambda kind, text: self.reports.append(text),
            self.lost.append,
        )
        self.thread.activate()

    def send(self, sizes: dict[int, tuple[int, int]]) -> None:
        """One image for each camera, all of them waiting at the same moment."""
        held = threading.Event()
        self.thread.call(held.wait)
        for number, size in sizes.items():
            pixels = np.zeros((*size, 3), np.uint8)
            message = image_message(pixels, "rgb8", Header(frame_id=str(number)))
            self.thread.put(self.cameras[number], message, 0.0)
        held.set()

    def published(self) -> int:
        return sum(len(camera.publishers.published) for camera in self.cameras)


@pytest.fixture
def make():
    made = []

    def create(*args: Any) -> Setup:
        made.append(Setup(*args))
        return made[-1]

    yield create
    assert all(setup.thread.close(10) for setup in made)


def test_waiting_frames_of_one_size_are_one_batch(make: Callable) -> None:
    setup = make(4)
    setup.send({0: (4, 6), 1: (8, 8), 2: (4, 6), 3: (4, 6)})
    wait_until(lambda: setup.published() == 4, "four results")
    assert sorted(setup.model.batches) == [1, 3]
    assert [camera.publishers.published for camera in setup.cameras] == [["0"], ["1"], ["2"], ["3"]]


def test_all_images_are_followed_before_the_first_batch_is_inferred(make: Callable) -> None:
    """What waits for a slow batch would be too old to follow."""
    setup, events = make(2), []
    setup.thread.propagation = SimpleNamespace(
        begin=lambda frame: events.append("begin"), result=lambda inferred: False
    )
    setup.model.vocabulary = setup.model.options = None
    setup.model.fail = lambda images: events.append("batch")
    setup.send({0: (4, 6), 1: (8, 8)})
    wait_until(lambda: setup.published() == 2, "two results")
    assert events == ["begin", "begin", "batch", "batch"]


def test_frames_nobody_wants_are_not_segmented(make: Callable) -> None:
    setup = make(2)
    setup.cameras[0].publishers.has_subscriber = False
    setup.send({0: (4, 4), 1: (4, 4)})
    wait_until(lambda: setup.published() == 1, "the other result")
    assert setup.model.batches == [1]
    assert setup.cameras[0].statistics.totals().idle == 1


def test_a_frame_that_fails_is_skipped_and_the_rest_of_its_batch_is_not(make: Callable) -> None:
    setup = make(2)
    calls = []

    def fail(images: list) -> None:
        calls.append(len(images))
        if len(calls) <= 2:  # the batch, and then its first frame
            raise ValueError("bad picture\nwith details")

    setup.model.fail = fail
    setup.send({0: (4, 4), 1: (4, 4)})
    wait_until(lambda: setup.published() == 1, "the good frame's result")
    assert calls == [2, 1, 1]
    assert setup.cameras[0].statistics.totals().bad == {"inference": 1}
    assert setup.reports == ["/0: an image was skipped: bad picture"]


def test_a_message_that_breaks_a_decoder_is_counted_and_the_next_one_is_segmented(
    make: Callable,
) -> None:
    setup = make()
    broken = SimpleNamespace(header=Header(), encoding="rgb8")  # the decoder misses its height
    setup.thread.put(setup.cameras[0], broken, 0.0)
    wait_until(lambda: setup.reports, "the report")
    assert setup.cameras[0].statistics.totals().bad == {"internal": 1}
    assert setup.reports[0].startswith("/0: an image could not be read: AttributeError(")
    setup.send({0: (4, 4)})
    wait_until(lambda: setup.published() == 1, "the result of the next image")


def test_that_cuda_graphs_cannot_be_used_is_said_once(make: Callable) -> None:
    setup = make()
    setup.model.fail = lambda images: setattr(setup.model, "cuda_graphs_problem", "no graphs")
    for number in range(3):
        setup.send({0: (4, 4)})
        wait_until(lambda number=number: setup.published() == number + 1, "the result")
    assert setup.reports == ["no graphs"]


def test_that_an_engine_failed_is_said_once(make: Callable) -> None:
    setup = make()
    setup.model.fail = lambda images: setattr(setup.model, "engine_problem", "no engine")
    for number in range(3):
        setup.send({0: (4, 4)})
        wait_until(lambda number=number: setup.published() == number + 1, "the result")
    assert setup.reports == ["no engine"]


def test_out_of_memory_ends_batches_and_then_reduces_the_resolution(make: Callable) -> None:
    setup = make(2)

    def fail(images: list) -> None:
        if len(images) > 1 or setup.model.inference_size > 224:
            raise OutOfMemoryError("CUDA out of memory")

    setup.model.fail = fail
    setup.send({0: (4, 4), 1: (4, 4)})
    wait_until(lambda: setup.published() == 1, "the result of the smaller frame")
    assert setup.model.inference_size == 224
    assert "inference_size is 224" in setup.reports[0]
    setup.model.batches.clear()
    setup.send({0: (4, 4), 1: (4, 4)})
    wait_until(lambda: setup.published() == 3, "two more results")
    assert setup.model.batches == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be ..."),
        type("AcceleratorError", (RuntimeError,), {})("the GPU has fallen off the bus"),
    ],
)
def test_a_lost_device_is_reported_once_and_no_frame_is_tried_again(
    make: Callable, error: Exception
) -> None:
    setup = make(2)

    def fail(images: list) -> None:
        raise error

    setup.model.fail = fail
    setup.send({0: (4, 4), 1: (4, 4)})
    wait_until(lambda: setup.lost, "the report")
    setup.send({0: (4, 4), 1: (4, 4)})
    setup.thread.call(int).result(10)
    assert setup.model.batches == [2] and len(setup.lost) == 1
    assert "the device 'cuda:0' failed" in setup.lost[0] and "\n" not in setup.lost[0]
    assert [c.statistics.totals().bad for c in setup.cameras] == [{"device": 1}] * 2
    assert [c.statistics.totals().idle for c in setup.cameras] == [1, 1]


def test_a_full_device_is_not_a_lost_one(make: Callable) -> None:
    setup = make()

    def fail(images: list) -> None:
        if setup.model.inference_size > 112:
            raise RuntimeError("CUDA error: out of memory")

    setup.model.fail = fail
    for done in (0, 0, 1):  # 448, 224, 112
        setup.send({0: (4, 4)})
        setup.thread.call(int).result(10)
        wait_until(lambda done=done: setup.published() == done, f"{done} results")
    assert setup.lost == []


def test_nothing_is_published_after_deactivate(make: Callable) -> None:
    setup = make()
    started, go_on = threading.Event(), threading.Event()

    def wait(images: list) -> None:
        started.set()
        go_on.wait(10)

    setup.model.fail = wait
    setup.send({0: (4, 4)})
    assert started.wait(10)
    setup.thread.deactivate()
    go_on.set()
    assert setup.thread.call(lambda: "between two frames").result(10) == "between two frames"
    setup.send({0: (4, 4)})
    setup.thread.call(int).result(10)
    assert setup.published() == 0 and setup.model.batches == [1]


def test_memory_is_given_back_once_huge_pictures_are_over(
    make: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[None] = []
    monkeypatch.setattr(memory, "free_host_memory", lambda: freed.append(None))
    setup = make()
    small, huge = 4, int((memory.HUGE_IMAGE / 3) ** 0.5) + 1
    times = []
    for number, side in enumerate((small, huge, huge, small, small), start=1):
        setup.send({0: (side, side)})
        wait_until(lambda number=number: setup.published() == number, "a result")
        setup.thread.call(lambda: None).result()  # then all of the frame's work is done
        times.append(len(freed))
    assert times == [0, 0, 0, 1, 1]


def test_memory_is_given_back_now_and_then(make: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[None] = []
    monkeypatch.setattr(memory, "free_host_memory", lambda: freed.append(None))
    setup = make()
    for number, (every, wanted) in enumerate(((1e9, 0), (0.0, 1), (1e9, 1), (0.0, 2)), start=1):
        monkeypatch.setattr(memory, "TRIM_PERIOD", every)
        setup.send({0: (4, 4)})
        wait_until(lambda number=number: setup.published() == number, "a result")
        setup.thread.call(lambda: None).result()
        assert len(freed) == wanted


def test_calls_after_the_end_fail_instead_of_waiting(make: Callable) -> None:
    setup = make()
    with pytest.raises(ZeroDivisionError):
        setup.thread.call(lambda: 1 / 0).result(10)
    assert setup.thread.close(10)
    with pytest.raises(RuntimeError, match="cleaned up"):
        setup.thread.call(int).result(10)


def test_what_is_loaded_is_spared_by_the_collector_until_the_model_goes() -> None:
    memory.spare_collections()
    try:
        assert gc.get_freeze_count() > 0
    finally:
        memory.free_device_memory()
    assert gc.get_freeze_count() == 0
    memory.free_host_memory()  # whatever the C library


def test_images_of_another_world_are_reported_once_and_not_for_single_frames(
    make: Callable,
) -> None:
    setup = make()
    notices = []
    for index in range(30):
        setup.model.familiar = index < 6 and index % 3 != 0
        setup.send({0: (4, 4)})
        wait_until(lambda count=index + 1: setup.published() == count, "a result")
        setup.thread.call(lambda: None).result(10)  # the frame is done
        notices.append(setup.cameras[0].statistics.notice)
    assert not any(notices[:10])  # seven of the last ten frames are needed
    assert notices[-1] == "the images do not show the simulated world: use the model 'vit-b-16'"
    assert setup.reports == [f"/0: {notices[-1]}"]
    setup.model.familiar = True
    for index in range(30, 36):
        setup.send({0: (4, 4)})
        wait_until(lambda count=index + 1: setup.published() == count, "a result")
    setup.thread.call(lambda: None).result(10)
    assert not setup.cameras[0].statistics.notice
