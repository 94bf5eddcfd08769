# SPDX-License-Identifier: Apache-2.0
"""The demo's own node: watches camera, masks and ground truth, and changes the prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.client import Client
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.messages.decode import rgb_from_message, rows_of_bytes
from dinoiser_ros.messages.stamps import stamp_of
from dinoiser_ros.ros.watching import reported_failure
from dinoiser_ros.srv import SetPrompts

from .score import Score, score_of

_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_KEEP = 200  # ground truths and pictures that wait for their masks


class Watcher(Node):
    """Counts, scores and keeps what the other two processes publish.

    Args:
        prompt_sets: the prompts of the demo, one after the other.
        namespace: where the demo's own camera and node are; others are not listened to.

    Attributes:
        scores: one for each prompt set.
        frames: camera images since the node is ready, counted by their ground truth: it comes for
            each of them, while a busy machine may lose the images themselves.
        latencies: seconds from an image's stamp to the arrival of its mask.
        overlays: for each prompt set the (picture, overlay) pairs to be written, newest last,
            both (H, W, 3) uint8 RGB.
        failure: why the segmentation node cannot work, "" while it can.
    """

    def __init__(self, prompt_sets: Sequence[Sequence[str]], namespace: str = "/") -> None:
        super().__init__("demo", namespace=namespace)
        self._watched = f"{namespace}/dinoiser".strip("/")  # as diagnostics name it
        self.scores: list[Score] = [score_of(prompts) for prompts in prompt_sets]
        self.frames = 0
        self.latencies: list[float] = []
        self.overlays: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in prompt_sets]
        self.failure = ""
        self._labels: tuple[int, list[str]] | None = None  # since when (ns), class names
        self._positions = np.zeros(256, np.uint8)  # of class ids in the prompt set; 255: unlabeled
        self._ready: int | None = None  # since when (ns) the node has been ready
        self._truths: OrderedDict[int, np.ndarray] = OrderedDict()
        self._pictures: OrderedDict[int, np.ndarray] = OrderedDict()
        self._client: Client[Any, Any] = self.create_client(SetPrompts, "dinoiser/set_prompts")
        sensor = qos_profile_sensor_data
        self.create_subscription(Image, "sim_camera/ground_truth", self._on_truth, _KEEP)
        self.create_subscription(Image, "image", self._on_image, sensor)
        self.create_subscription(LabelInfo, "dinoiser/label_info", self._on_labels, _LATCHED)
        self.create_subscription(Image, "dinoiser/mask", self._on_mask, sensor)
        self.create_subscription(Image, "dinoiser/overlay", self._on_overlay, sensor)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def published(self) -> int:
        """Masks received that could be scored."""
        return sum(score.frames for score in self.scores)

    def ask_for(self, prompts: Sequence[str]) -> Any:
        """Call ~/set_prompts of the segmentation node; returns the future of its answer."""
        return self._client.call_async(SetPrompts.Request(prompts=list(prompts)))

    def _on_truth(self, message: Image) -> None:
        if self._ready is not None and stamp_of(message) >= self._ready:
            self.frames += 1
        _keep(self._truths, message, _gray(message))

    def _on_image(self, message: Image) -> None:
        _keep(self._pictures, message, rgb_from_message(message))

    def _on_labels(self, message: LabelInfo) -> None:
        names = [entry.class_name for entry in message.class_map]
        self._labels = (stamp_of(message), names)
        self._positions = np.full(256, 255, np.uint8)
        self._positions[[entry.class_id for entry in message.class_map]] = np.arange(len(names))
        if self._ready is None:
            self._ready = self._labels[0]
            self.frames = sum(stamp >= self._ready for stamp in self._truths)

    def _on_mask(self, message: Image) -> None:
        stamp = stamp_of(message)
        latency = (self.get_clock().now().nanoseconds - stamp) / 1e9
        number = self._prompt_set_at(stamp)
        truth = self._truths.get(stamp)
        if number is not None and truth is not None:
            self.scores[number].add(self._positions[_gray(message)], truth)
            self.latencies.append(latency)

    def _on_overlay(self, message: Image) -> None:
        stamp = stamp_of(message)
        number = self._prompt_set_at(stamp)
        picture = self._pictures.get(stamp)
        if number is not None and picture is not None:
            self.overlays[number].append((picture, rgb_from_message(message)))
            _thin_out(self.overlays[number])

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.failure = reported_failure(message, self._watched) or self.failure

    def _prompt_set_at(self, stamp: int) -> int | None:
        """Which prompt set a result that arrives now shows: the one announced last.

        None for an image from before that announcement: it may have been segmented with either.
        """
        sets = [score.names for score in self.scores]
        if self._labels is None or self._labels[0] > stamp or self._labels[1] not in sets:
            return None
        return sets.index(self._labels[1])


def _keep(store: OrderedDict[int, np.ndarray], message: Image, pixels: np.ndarray) -> None:
    store[stamp_of(message)] = pixels
    while len(store) > _KEEP:
        store.popitem(last=False)


def _thin_out(pairs: list[Any], most: int = 16) -> None:
    """Keep a list spread over time and bounded: beyond ``most``, drop every second entry."""
    if len(pairs) > most:
        del pairs[1::2]


def _gray(message: Image) -> np.ndarray:
    """(H, W) uint8 of a mono8 message."""
    return rows_of_bytes(message, message.height, message.width)
