# SPDX-License-Identifier: Apache-2.0
"""What the objects of a frame cost, on one core: from messages to messages."""

from __future__ import annotations

import copy
import statistics
import time
from typing import Any

import numpy as np
from points.cost import frame_messages

from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.objects.camera_objects import CameraObjects
from dinoiser_ros.ros.segment.objects.object_options import OBJECT_OUTPUTS
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.depth_view import DepthView
from dinoiser_ros.sim.camera import RenderedFrame

_ROUNDS = 5


class _Publisher:
    """Somebody listens to it, at no cost."""

    def get_subscription_count(self) -> int:
        return 1

    def publish(self, message: Any) -> None:
        pass


class _Node:
    """What a camera's objects need of a node."""

    def create_publisher(self, *_: Any) -> _Publisher:
        return _Publisher()


def median_objects_ms(frames: list[RenderedFrame], masks: list[np.ndarray], depth: bool) -> float:
    """Median processor time of a frame's detections and instances, in milliseconds.

    Args:
        frames: of one size.
        masks: (H, W) class ids of each.
        depth: whether depth is used, and detections_3d are made, too.
    """
    settings = {name: BY_NAME[name].default for name in BY_NAME}
    objects = CameraObjects(
        _Node(),
        "/image",
        "~",
        OBJECT_OUTPUTS,
        DepthView("/depth") if depth else None,
        CameraStatistics(0.0),
        lambda kind, sentence: print(sentence),
    )
    jobs = [frame_messages(frame, labels) for frame, labels in zip(frames, masks, strict=True)]
    times = []
    for _ in range(_ROUNDS):
        for frame, depth_message, info in jobs:
            depth_message = copy.copy(depth_message)  # one that was read before would cost less
            start = time.thread_time()
            objects.publish(frame, depth_message if depth else None, info, settings)
            times.append(time.thread_time() - start)
    return statistics.median(times) * 1e3
