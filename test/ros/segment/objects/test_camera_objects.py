# SPDX-License-Identifier: Apache-2.0
"""What a camera's objects cost nobody, and what is said where a library is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from dinoiser_ros.errors import CameraInfoError, DepthMessageError
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points import depth_view
from dinoiser_ros.ros.segment.points.cloud_maker import SegmentedFrame
from dinoiser_ros.ros.segment.points.depth_view import DepthView
from dinoiser_ros.segmentation.result import Segmentation
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

SETTINGS = {name: BY_NAME[name].default for name in BY_NAME}


class Camera:
    """Objects of a camera, and what they publish and report."""

    def __init__(
        self, subscribers: int, enabled: Sequence[str], depth_topic: str | None = None
    ) -> None:
        self.published: list[Any] = []
        self.reports: list[str] = []
        publisher = Mock()
        publisher.get_subscription_count.return_value = subscribers
        publisher.publish = self.published.append
        self.node = Mock()
        self.node.create_publisher.return_value = publisher
        self.statistics = CameraStatistics(0.0)
        view = None if depth_topic is None else DepthView(depth_topic)
        self.objects = CameraObjects(
            self.node, "/image", "~", enabled, view, self.statistics, self._report
        )

    def _report(self, kind: str, sentence: str) -> None:
        self.reports.append(sentence)

    def see(self, depth: Any = None, info: Any = None, kind: type = np.uint8) -> None:
        labels = np.zeros((48, 64), kind)
        labels[10:30, 10:30] = 1
        sure = np.ones(labels.shape, np.float32)
        classes = parse_prompts(["floor", "person"])[1]
        image = np.zeros((48, 64, 3), np.uint8)
        frame = SegmentedFrame(Segmentation(labels, sure, classes, 255), image, Header())
        self.objects.publish(frame, depth, info, SETTINGS)


def test_without_depth_there_are_two_topics_and_outputs_names_them() -> None:
    camera = Camera(1, BY_NAME["outputs"].default)
    assert camera.node.create_publisher.call_count == 2
    camera.see()
    assert [type(one).__name__ for one in camera.published] == ["Detection2DArray", "InstanceArray"]
    assert camera.statistics.totals().objects == 1
    camera.objects.destroy()
    camera.see()
    assert len(camera.published) == 2
    assert Camera(1, ["mask"]).node.create_publisher.call_count == 0


def test_nothing_is_computed_without_a_subscriber(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CameraObjects, "_find", Mock(side_effect=AssertionError))
    camera = Camera(0, BY_NAME["outputs"].default)
    camera.see()
    assert not camera.objects.have_subscribers()
    assert (camera.published, camera.reports) == ([], [])


def depth_of(size: tuple[int, int]) -> tuple[Any, CameraInfo]:
    """Half of the object at one metre and half at two, in a resolution of its own."""
    depth = np.full(size, 1000, np.uint16)
    depth[:, size[1] * 20 // 64 :] = 2000
    info = CameraInfo(width=64, height=48)
    info.k = [60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0]
    return image_message(depth, "16UC1", Header(frame_id="depth")), info


@pytest.mark.parametrize("size", [(48, 64), (24, 32), (96, 128)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_depth_may_have_another_resolution(size: tuple[int, int], kind: type) -> None:
    camera = Camera(1, ["detections_3d"], "/depth")
    camera.see(*depth_of(size), kind)
    (message,) = camera.published
    assert message.header.frame_id == "depth"
    near, far = sorted(message.detections, key=lambda one: one.bbox.center.position.z)
    assert (near.bbox.center.position.z, far.bbox.center.position.z) == (1.0, 2.0)
    assert near.bbox.center.position.x == pytest.approx((14.5 - 31.5) / 60, abs=0.01)
    assert far.bbox.center.position.x == pytest.approx((24.5 - 31.5) / 60 * 2, abs=0.02)
    assert far.bbox.size.y == pytest.approx(19 / 60 * 2, abs=0.04)
    assert camera.reports == []


def test_depth_of_another_view_is_raised_after_the_objects_are_out() -> None:
    camera = Camera(1, ["detections", "detections_3d"], "/depth")
    depth, info = depth_of((10, 64))
    with pytest.raises(DepthMessageError, match="registered to the image"):
        camera.see(depth, info)
    depth, info = depth_of((48, 64))
    info.k[0] = 0.0
    with pytest.raises(CameraInfoError):
        camera.see(depth, info)
    assert [type(one).__name__ for one in camera.published] == ["Detection2DArray"] * 2


def test_clouds_and_objects_read_a_depth_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Mock(wraps=depth_view.metres_from_message)
    monkeypatch.setattr(depth_view, "metres_from_message", read)
    view, size = DepthView("/depth"), (48, 64)
    depth, info = depth_of(size)
    first = view.read(depth, info, size, "auto")
    assert view.read(depth, info, size, "auto") is first and read.call_count == 1
    np.testing.assert_array_equal(view.rays(3), view.rays()[:, ::3, ::3])
    other, _ = depth_of(size)
    assert view.read(other, info, size, "auto") is not first and read.call_count == 2
    wide = CameraInfo(width=64, height=48)
    wide.k = [30.0, 0.0, 31.5, 0.0, 30.0, 23.5, 0.0, 0.0, 1.0]
    before = view.rays(3)
    view.read(other, wide, size, "auto")
    np.testing.assert_allclose(view.rays(3)[:2], 2 * before, rtol=1e-5)
    with pytest.raises(DepthMessageError):
        view.read(depth, info, (10, 64), "auto")
    assert view.read(depth, info, size, "auto") is not first


@pytest.mark.parametrize("module", ["scipy.optimize", "cv2"])
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    camera = Camera(1, ["detections"])
    monkeypatch.setitem(sys.modules, module, None)
    camera.see()
    camera.see()  # the second image has a track to be assigned
    assert module in camera.reports[-1] and "python3-scipy" in camera.reports[-1]
    assert camera.statistics.totals().bad["internal"] == len(camera.reports)
