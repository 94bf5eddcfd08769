# SPDX-License-Identifier: Apache-2.0
"""What a camera's objects cost nobody, and what is said where a library is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from std_msgs.msg import Header

from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.cloud_maker import SegmentedFrame
from dinoiser_ros.segmentation.result import Segmentation
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

SETTINGS = {name: BY_NAME[name].default for name in BY_NAME}


class Camera:
    """Objects of a camera without depth, and what they publish and report."""

    def __init__(self, subscribers: int, enabled: Sequence[str]) -> None:
        self.published: list[Any] = []
        self.reports: list[str] = []
        publisher = Mock()
        publisher.get_subscription_count.return_value = subscribers
        publisher.publish = self.published.append
        self.node = Mock()
        self.node.create_publisher.return_value = publisher
        self.statistics = CameraStatistics(0.0)
        self.objects = CameraObjects(
            self.node, "/image", "~", enabled, None, self.statistics, self._report
        )

    def _report(self, kind: str, sentence: str) -> None:
        self.reports.append(sentence)

    def see(self) -> None:
        labels = np.zeros((48, 64), np.uint8)
        labels[10:30, 10:30] = 1
        sure = np.ones(labels.shape, np.float32)
        classes = parse_prompts(["floor", "person"])[1]
        image = np.zeros((48, 64, 3), np.uint8)
        frame = SegmentedFrame(Segmentation(labels, sure, classes, 255), image, Header())
        self.objects.publish(frame, None, None, SETTINGS)


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


@pytest.mark.parametrize("module", ["scipy.optimize", "cv2"])
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    camera = Camera(1, ["detections"])
    monkeypatch.setitem(sys.modules, module, None)
    camera.see()
    camera.see()  # the second image has a track to be assigned
    assert module in camera.reports[-1] and "python3-scipy" in camera.reports[-1]
    assert camera.statistics.totals().bad["internal"] == len(camera.reports)
