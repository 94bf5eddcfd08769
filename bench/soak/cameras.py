# SPDX-License-Identifier: Apache-2.0
"""The soak's two cameras, in one process: `python3 -m soak.cameras --seed 0`.

Until the node is there, both send good frames. If the node then has many classes, as it has at
first, the second camera sends huge frames and nothing else, so that no other frame replaces them.
Each sends twice as many frames as the node answers (by /diagnostics), so that the node never waits
for a frame and drops about half of them; now and then it sends a burst, a frame each millisecond.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from .arguments import parse_arguments
from .frames import (
    COMPRESSED_KINDS,
    GOOD,
    RAW_KINDS,
    CompressedFrames,
    Kind,
    RawFrames,
    Schedule,
    Tag,
    stamp_of,
)


@dataclass(frozen=True)
class Setup:
    """A camera of the soak: name, topic, where its results are, and (height, width)."""

    name: str
    topic: str
    results: str
    size: tuple[int, int]


# Sizes whose mask and confidence fit into the transport's shared memory together (0.5 MB by default
# with Fast DDS): of best-effort messages beyond that some get lost, whoever sends them.
RAW = Setup("front", "/front/image_raw", "/front/dinoiser", (240, 320))
COMPRESSED = Setup("rear", "/rear/image_raw/compressed", "/rear/dinoiser", (120, 160))

SLOWEST, FASTEST = 10.0, 1000.0  # frames per second of one camera
_BURST = 100  # frames
_BURST_CHANCE = 1 / 2000  # of each frame to start one
_MANY = 254  # classes; of more, masks have 16 bits
_HUGE_PERIOD = 5.0  # seconds, in which the node is done with a huge frame
_HUGE_FRAMES = 3


class SoakCamera:
    """Publishes the frames of one camera when they are due."""

    def __init__(self, node: Node, setup: Setup, rng: random.Random, quick: bool) -> None:
        compressed = setup is COMPRESSED
        kinds = COMPRESSED_KINDS if compressed else RAW_KINDS
        kinds = tuple(kind for kind in kinds if not (quick and kind.name == "huge"))
        self.setup = setup
        self._rng = rng
        self._frames: Any = (CompressedFrames if compressed else RawFrames)(setup.size, rng)
        self._schedule = Schedule(kinds, rng)
        self._publisher = node.create_publisher(
            CompressedImage if compressed else Image, setup.topic, qos_profile_sensor_data
        )
        self._huge = [kind for kind in kinds if kind.name == "huge"] * _HUGE_FRAMES
        self._phase = "waiting"  # for the node; then "huge" frames, then all "kinds" of them
        self._number = 0
        self._burst = 0
        self._period = 1.0 / SLOWEST
        self.due = time.monotonic()

    def adapt(self, rate_out: float, classes: int) -> None:
        """Go by what the node says of itself.

        Args:
            rate_out: frames per second that it answers; once every kind of frame was sent slowly,
                twice as many are sent.
            classes: that it has, 0 if it is not configured.
        """
        if self._phase == "waiting" and classes:
            self._phase = "huge" if classes > _MANY else "kinds"
        if self._phase != "kinds" or self._schedule.warming_up:
            return
        self._period = 1.0 / min(max(2.0 * rate_out, SLOWEST), FASTEST)

    def publish(self) -> None:
        """Send the next frame and say when the one after it is due."""
        if self._phase != "kinds":
            self._publish_before()
            return
        starts = self._schedule.warming_up
        self._send(self._schedule.next())
        if starts and not self._schedule.warming_up:
            self._burst = _BURST  # the warm-up ends with one
        elif not starts and not self._burst and self._rng.random() < _BURST_CHANCE:
            self._burst = _BURST
        period = 1.0 / FASTEST if self._burst else self._period
        self._burst = max(self._burst - 1, 0)
        # A camera does not catch up on what it could not send.
        self.due = max(self.due + period, time.monotonic())

    def _publish_before(self) -> None:
        if self._phase == "waiting":
            self._send(GOOD)
            self.due = time.monotonic() + self._period
        elif self._huge:
            self._send(self._huge.pop())
            self.due = time.monotonic() + _HUGE_PERIOD
        else:
            self._phase = "kinds"

    def _send(self, kind: Kind) -> None:
        self._publisher.publish(self._frames.message(kind, self._header(kind)))
        self._number += 1

    def _header(self, kind: Kind) -> Header:
        stamp = stamp_of(kind, time.time_ns())
        height, width = self._frames.size_of(kind)
        tag = Tag(self.setup.name, self._number, kind.name, stamp, height, width)
        header = Header(frame_id=tag.text())
        header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        return header


def rates_out(message: DiagnosticArray) -> dict[str, float]:
    """Answered frames per second by camera topic, of the node's diagnostics."""
    rates = {}
    for status in message.status:
        values = {value.key: value.value for value in status.values}
        if "rate_out_hz" in values:
            rates[status.name.partition(": ")[2]] = float(values["rate_out_hz"])
    return rates


def number_of_classes(message: DiagnosticArray) -> int:
    """The node's classes, of its diagnostics; 0 if it has none."""
    values = {value.key: value.value for status in message.status for value in status.values}
    return int(values.get("classes", 0))


def main() -> None:
    """Publish until the process is ended."""
    options = parse_arguments(__doc__.splitlines()[0])
    rng = random.Random(options.seed)
    rclpy.init()
    node = rclpy.create_node("soak_cameras")
    cameras = [SoakCamera(node, setup, rng, options.quick) for setup in (RAW, COMPRESSED)]

    def adapt(message: DiagnosticArray) -> None:
        rates, classes = rates_out(message), number_of_classes(message)
        for camera in cameras:
            camera.adapt(rates.get(camera.setup.topic, 0.0), classes)

    node.create_subscription(DiagnosticArray, "/diagnostics", adapt, 10)
    try:
        while rclpy.ok():
            camera = min(cameras, key=lambda camera: camera.due)
            wait = camera.due - time.monotonic()
            rclpy.spin_once(node, timeout_sec=max(wait, 0.0))
            if camera.due <= time.monotonic():
                camera.publish()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()
