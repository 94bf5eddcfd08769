# SPDX-License-Identifier: Apache-2.0
"""What the clouds of a frame cost, on one core: from messages to messages."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.class_groups import class_groups
from dinoiser_ros.ros.segment.points.cloud_maker import CloudMaker, SegmentedFrame
from dinoiser_ros.ros.segment.points.cloud_publishers import POINTS
from dinoiser_ros.ros.segment.points.depth_view import DepthView
from dinoiser_ros.segmentation.result import Segmentation
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.classes import CLASSES

from .accuracy import pinhole

_ROUNDS = 5
GROUPS = class_groups(
    {
        "obstacle_groups": [
            "danger: person, traffic cone",
            "things: ball, box, chair, table, plant, shelf, barrel",
        ],
        "ground_groups": ["floor: wooden floor, tiled floor, concrete floor, carpet, grass"],
    }
)


def median_ms(frames: list[RenderedFrame], masks: list[np.ndarray], **changes: Any) -> float:
    """Median processor time of a frame's points and three groups, in milliseconds.

    Args:
        frames: of one size.
        masks: (H, W) class ids of each.
        changes: parameters with other values than their defaults.
    """
    settings: Mapping[str, Any] = {n: BY_NAME[n].default for n in BY_NAME} | changes
    maker = CloudMaker(DepthView("/depth"), GROUPS)
    topics = [POINTS, *(group.topic for group in GROUPS)]
    jobs = [frame_messages(frame, labels) for frame, labels in zip(frames, masks, strict=True)]
    times = []
    for _ in range(_ROUNDS):
        for frame, depth, info in jobs:
            depth = copy.copy(depth)  # one that was read before would cost less
            start = time.thread_time()
            for _ in maker.clouds(frame, depth, info, topics, settings):
                pass
            times.append(time.thread_time() - start)
    return statistics.median(times) * 1e3


def frame_messages(
    frame: RenderedFrame, labels: np.ndarray
) -> tuple[SegmentedFrame, Image, CameraInfo]:
    """A frame with a mask as the node has them: segmented, with messages of depth and camera."""
    classes = parse_prompts(CLASSES)[1]
    confidence = np.full(labels.shape, 0.9, np.float32)
    segmented = SegmentedFrame(Segmentation(labels, confidence, classes, 255), frame.rgb, Header())
    millimetres = np.where(np.isfinite(frame.depth), frame.depth * 1000, 0).astype(np.uint16)
    camera = pinhole(frame)
    info = CameraInfo(width=camera.width, height=camera.height)
    info.k = camera.matrix.ravel().tolist()
    return segmented, image_message(millimetres, "16UC1", Header(frame_id="optical")), info
