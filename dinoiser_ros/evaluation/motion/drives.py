# SPDX-License-Identifier: Apache-2.0
"""Simulated drives, with the truth and a model's masks of some of their pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dinoiser_ros.evaluation.datasets.corruptions import corrupt
from dinoiser_ros.segmentation import Segmentation, Segmenter
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.patrol import CameraPose, PatrolRobot

RATE = 30.0  # pictures per second
EVERY = 3  # of so many pictures one is looked at: 10 a second
NOISE = ("gaussian noise", 3)  # name and severity of the corruption


@dataclass(frozen=True)
class View:
    """A picture that is looked at.

    Attributes:
        truth: (H, W) uint8, the true labels.
        depth: (H, W) float32, metres along the optical axis.
        pose: of the camera.
        fovy: vertical field of view in degrees.
        turning: whether the robot turns here.
    """

    truth: np.ndarray
    depth: np.ndarray
    pose: CameraPose
    fovy: float
    turning: bool


@dataclass(frozen=True)
class Drive:
    """A drive as the camera sees it.

    Attributes:
        seed: of the simulated world.
        pictures: (H, W, 3) uint8 each, 1 / `RATE` seconds apart.
        views: of every `EVERY`th picture.
        labels: (H, W) uint8 each, the true labels of all pictures.
    """

    seed: int
    pictures: list[np.ndarray]
    views: list[View]
    labels: list[np.ndarray]

    def noisy(self) -> Drive:
        """The same drive with independent noise in each picture that is looked at."""
        name, severity = NOISE
        pictures = list(self.pictures)
        for index in range(0, len(pictures), EVERY):
            seed = self.seed * 1000 + index // EVERY
            pictures[index] = corrupt(pictures[index], name, severity, seed)
        return Drive(self.seed, pictures, self.views, self.labels)


def render_drive(seed: int, seconds: float, width: int = 640, height: int = 480) -> Drive:
    """Drive through the world of a seed at 0.5 m/s, turning by 0.5 rad/s in the corners.

    Raises:
        RendererUnavailable: MuJoCo or a GL library is missing.
    """
    pictures, views, labels = [], [], []
    with PatrolRobot(seed, width, height) as robot:
        for index in range(round(seconds * RATE)):
            time = index / RATE
            looked_at = index % EVERY == 0
            frame = robot.frame(time, depth=looked_at)
            pictures.append(frame.rgb)
            labels.append(frame.labels)
            if looked_at:
                turning = robot.pose(time).yaw != robot.pose(time + 1 / RATE).yaw
                views.append(_view(frame, robot.pose(time), turning))
    return Drive(seed, pictures, views, labels)


def _view(frame: RenderedFrame, pose: CameraPose, turning: bool) -> View:
    assert frame.depth is not None, "it was asked for"
    return View(frame.labels, frame.depth, pose, frame.fovy, turning)


def segment_views(drive: Drive, segmenter: Segmenter) -> list[Segmentation]:
    """What a model says of the views, each picture by itself."""
    return [segmenter.segment(picture) for picture in drive.pictures[::EVERY]]
