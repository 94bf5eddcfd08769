# SPDX-License-Identifier: Apache-2.0
"""The node's services ~/teach, ~/forget and ~/get_examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from dinoiser_ros.errors import ExampleError
from dinoiser_ros.messages.decode import rgb_from_message, rows_of_bytes
from dinoiser_ros.messages.stamps import nanoseconds_of
from dinoiser_ros.ros.segment.services import (
    NOT_CONFIGURED,
    PROMPTS_TIMEOUT,
    SEGMENT_TIMEOUT,
    sentence,
)
from dinoiser_ros.srv import Forget, GetExamples, Teach

if TYPE_CHECKING:
    from rclpy.node import Node

    from dinoiser_ros.ros.segment.session import Session

_MASK_ENCODINGS = ("mono8", "8UC1")


class TeachServices:
    """Creates the services. They share a callback group: of two changes one waits for the other.

    Args:
        node: what they belong to.
        session: gives the session, None while the node is unconfigured.
        refused: called with "examples" and a sentence for each request that was refused, but for
            questions.
    """

    def __init__(
        self,
        node: Node,
        session: Callable[[], Session | None],
        refused: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._session = session
        self._refused = refused
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, callback in (
            (Teach, "teach", self._teach),
            (Forget, "forget", self._forget),
            (GetExamples, "get_examples", self._get_examples),
        ):
            node.create_service(kind, f"~/{name}", self._answering(callback), callback_group=group)

    def _answering(self, act: Callable[[Session, Any, Any], None]) -> Callable[[Any, Any], Any]:
        """A service's callback: it is answered whatever happens, and the node goes on."""

        def answer(request: Any, response: Any) -> Any:
            session = self._session()
            try:
                if session is None:
                    raise ExampleError(NOT_CONFIGURED)
                act(session, request, response)
            except Exception as error:  # answered, never raised
                response.success = False
                response.message = sentence(error)
                if act != self._get_examples:  # a question is no request to change something
                    self._refused("examples", response.message)
            else:
                response.success = True
            return response

        return answer

    def _teach(self, session: Session, request: Any, response: Any) -> None:
        image = rgb_from_message(
            request.image if request.image.width else self._recent_image(session, request)
        )
        region = _region(request)
        segmenter = session.segmenter
        found = session.between_frames(lambda: segmenter.examples_of(image, region))
        examples = found.result(SEGMENT_TIMEOUT)
        response.examples = segmenter.examples.add(request.name, examples)
        self._renew(session)
        response.message = f"{response.examples} examples"
        self._node.get_logger().info(f"taught {request.name!r}: {response.message}")

    def _forget(self, session: Session, request: Any, response: Any) -> None:
        segmenter = session.segmenter
        used = segmenter.vocabulary.taught
        response.examples = segmenter.examples.remove(request.name, request.newest or None, used)
        self._renew(session)
        response.message = f"{response.examples} examples are left"
        self._node.get_logger().info(f"forgot {request.name!r}: {response.message}")

    def _get_examples(self, session: Session, request: Any, response: Any) -> None:
        counts = session.segmenter.examples.counts
        response.names, response.counts = list(counts), list(counts.values())

    def _renew(self, session: Session) -> None:
        """Take changed examples into the prompts in use, between two frames."""
        if session.segmenter.vocabulary.taught:
            changes = session.changes
            changes.request({"prompts": changes.prompts}).result(PROMPTS_TIMEOUT)

    def _recent_image(self, session: Session, request: Any) -> Any:
        """The camera's image that a request names.

        Raises:
            ExampleError: there is no such camera, or no such image of it.
        """
        cameras = {camera.topic: camera for camera in session.cameras}
        topic = request.camera and self._node.resolve_topic_name(request.camera)
        if not topic and len(cameras) == 1:
            topic = next(iter(cameras))
        if topic not in cameras:
            raise ExampleError(
                f"There is no camera {request.camera!r}: give one of {', '.join(cameras)}, or send "
                "the picture."
            )
        return cameras[topic].recent.nearest(nanoseconds_of(request.stamp))


def _region(request: Any) -> Any:
    """The region of a request, as `Segmenter.teach` takes it.

    Raises:
        ExampleError: there is none, or more than one; or it cannot be read.
    """
    given = [
        name
        for name, present in (
            ("mask", request.mask.width > 0),
            ("box", len(request.box) > 0),
            ("points", len(request.points) > 0),
        )
        if present
    ]
    if len(given) != 1:
        what = " and ".join(given) or "nothing"
        raise ExampleError(f"The region is {what}: give a mask, a box or points, one of them.")
    if given == ["box"]:
        if len(request.box) != 4:
            raise ExampleError("The box has other than 4 numbers: give left, top, right, bottom.")
        return np.array(request.box, np.float64)
    if given == ["points"]:
        if len(request.points) % 2:
            raise ExampleError("The points are an odd number of values: give x, y, x, y, ...")
        return np.array(request.points, np.float64).reshape(-1, 2)
    mask = request.mask
    if mask.encoding not in _MASK_ENCODINGS:
        raise ExampleError(f"The mask is {mask.encoding!r}: give mono8.")
    return rows_of_bytes(mask, mask.height, mask.width) != 0
