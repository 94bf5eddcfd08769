# SPDX-License-Identifier: Apache-2.0
"""The web server's back end for a segmentation node; see `dinoiser_ros.web.backend`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from dinoiser_ros.errors import RequestError
from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.messages.topic_names import output_namespaces
from dinoiser_ros.srv import Forget, GetProbabilities, Teach
from dinoiser_ros.web.backend import ProbabilityGrid, State

from .camera_link import CameraLink
from .node_link import PROBABILITIES_TIMEOUT, NodeLink

if TYPE_CHECKING:
    from rclpy.node import Node

    from dinoiser_ros.web.frame import Frame

_FOLLOW_PERIOD = 1.0  # seconds


class NodeBackend:
    """A segmentation node, over its topics, services and parameters.

    Subscriptions to images and masks exist only while somebody looks: the node computes what has a
    subscriber.

    Args:
        node: the console, spun by an executor.
        name: of the segmentation node, fully qualified.
        depth_topics: of each camera in turn, "" for none; there may be fewer than cameras.
    """

    def __init__(self, node: Node, name: str, depth_topics: Sequence[str] = ()) -> None:
        self._node = node
        self._name = name
        self._depth_topics = list(depth_topics)
        self._changed: Callable[[], None] = lambda: None
        self._link = NodeLink(node, name, self._on_state)
        self._watched: frozenset[str] = frozenset()
        self._subscribed: tuple[str, ...] = ()
        self._cameras: dict[str, CameraLink] = {}
        self._frames: dict[str, Frame] = {}
        # Subscriptions are made in the executor's thread, and viewers come in the server's.
        self._wake = node.create_guard_condition(self._subscribe)
        node.create_timer(_FOLLOW_PERIOD, self._follow)

    def start(self, changed: Callable[[], None]) -> None:
        """See `Backend`."""
        self._changed = changed

    def close(self) -> None:
        """See `Backend`."""
        self._changed = lambda: None

    def state(self) -> State:
        """See `Backend`."""
        return self._link.state

    def watch(self, cameras: frozenset[str]) -> None:
        """See `Backend`."""
        self._watched = cameras
        self._wake.trigger()

    def newest(self, camera: str) -> Frame | None:
        """See `Backend`."""
        return self._frames.get(camera)

    def change(self, values: Mapping[str, Any]) -> None:
        """See `Backend`."""
        self._link.change(values)

    def probabilities(self, frame: Frame) -> ProbabilityGrid:
        """See `Backend`."""
        asked = GetProbabilities.Request(image=image_message(frame.image, "rgb8"))
        answer = self._link.call("probabilities", asked, PROBABILITIES_TIMEOUT)
        if not answer.success:
            raise RequestError(answer.message)
        shape = len(answer.class_names), answer.rows, answer.columns
        values = np.frombuffer(answer.probabilities, np.uint8)
        if 0 in shape or values.size != shape[0] * shape[1] * shape[2]:
            raise RequestError("The node's answer has no probabilities.")
        grid = values.reshape(shape).astype(np.float32) / 255.0
        return ProbabilityGrid(tuple(answer.class_names), grid)

    def teach(self, frame: Frame, name: str, region: np.ndarray) -> int:
        """See `Backend`.

        The picture goes along: of its camera's images the node keeps the last seconds only, in
        steps, and people take their time to point.
        """
        asked = Teach.Request(name=name, image=image_message(frame.image, "rgb8"))
        given = region.ravel().tolist()
        if region.ndim == 1:
            asked.box = given
        else:
            asked.points = given
        return self._link.change_examples("teach", asked)

    def forget(self, name: str, newest: int | None) -> int:
        """See `Backend`."""
        return self._link.change_examples("forget", Forget.Request(name=name, newest=newest or 0))

    def _on_state(self) -> None:
        if self._link.state.cameras != self._subscribed:
            self._subscribe()
        self._changed()

    def _subscribe(self) -> None:
        """Have the subscriptions that viewers need; in the executor's thread."""
        topics = self._link.state.cameras
        watched = [topic for topic in topics if topic in self._watched]
        moved = topics != self._subscribed  # outputs move where there is another camera
        for topic in list(self._cameras):
            if moved or topic not in watched:
                self._cameras.pop(topic).close()
                self._frames.pop(topic, None)
        self._subscribed = topics
        outputs = output_namespaces(topics, self._name.rpartition("/")[2])
        depths = chain(self._depth_topics, repeat(""))
        for topic, namespace, depth in zip(topics, outputs, depths, strict=False):
            if topic in watched and topic not in self._cameras:
                place = self._name if namespace == "~" else namespace
                link = CameraLink(self._node, topic, place, depth, self._on_frame)
                self._cameras[topic] = link

    def _on_frame(self, frame: Frame) -> None:
        self._frames[frame.camera] = frame
        self._changed()

    def _follow(self) -> None:
        for camera in self._cameras.values():
            camera.follow_type()
