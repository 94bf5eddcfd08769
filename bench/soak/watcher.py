# SPDX-License-Identifier: Apache-2.0
"""Sees what the node sends during a soak: masks, confidences and diagnostics."""

from __future__ import annotations

import json
import threading
from typing import IO, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from .accounting import Answers, Counters
from .cameras import Setup

# Deep, so that no mask is missed by this process while it is busy with another one.
_DEEP = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.BEST_EFFORT
)


class Watcher:
    """Subscribes to the outputs of the cameras and to /diagnostics.

    Args:
        node: whose subscriptions they are; it has to be spun.
        cameras: the soak's.

    Attributes:
        answers: of all cameras.
        counters: the newest that the node has published.
        unchanged: how often in a row they came without a change.
    """

    def __init__(self, node: Node, cameras: tuple[Setup, ...]) -> None:
        self.answers = Answers()
        self.counters = Counters()
        self.unchanged = 0
        self._topics = {camera.topic for camera in cameras}
        for camera in cameras:
            self._watch(node, camera)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._count, 10)

    def _watch(self, node: Node, camera: Setup) -> None:
        def receive(message: Any) -> None:
            header = message.header
            stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
            size = (message.height, message.width)
            self.answers.check(camera.name, header.frame_id, stamp, size)

        node.create_subscription(Image, f"{camera.results}/mask", receive, _DEEP)
        # Somebody wants the confidence, too; the mask stands for both here.
        node.create_subscription(Image, f"{camera.results}/confidence", lambda _: None, _DEEP)

    def _count(self, message: DiagnosticArray) -> None:
        cameras = [
            {value.key: value.value for value in status.values}
            for status in message.status
            if status.name.partition(": ")[2] in self._topics
        ]
        if cameras:
            counters = Counters.of(cameras)
            self.unchanged = self.unchanged + 1 if counters == self.counters else 0
            self.counters = counters


class CallTimes:
    """What `soak.caller` reports, read in a thread of its own.

    Attributes:
        worst_quick, worst_slow: (milliseconds, service) of the two sorts of calls.
        calls: how many were made.
        problems: what was wrong, in sentences.
        all_called: whether every call was made once.
    """

    def __init__(self, lines: IO[str]) -> None:
        self.worst_quick = (0.0, "-")
        self.worst_slow = (0.0, "-")
        self.calls = 0
        self.problems: list[str] = []
        self.all_called = False
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                self.add(json.loads(line))
            except ValueError:  # the caller was ended in the middle of it
                return

    def add(self, entry: dict[str, Any]) -> None:
        """Take in one report."""
        if "problem" in entry:
            self.problems.append(entry["problem"])
        elif "all_called" in entry:
            self.all_called = True
        else:
            self.calls += 1
            time = (entry["ms"], entry["service"])
            if entry["quick"]:
                self.worst_quick = max(self.worst_quick, time)
            else:
                self.worst_slow = max(self.worst_slow, time)
