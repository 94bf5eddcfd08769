# SPDX-License-Identifier: Apache-2.0
"""The node's services: ~/set_prompts, ~/get_prompts, ~/segment and ~/get_probabilities."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from dinoiser_ros.messages.encode import confidence_pixels
from dinoiser_ros.srv import GetProbabilities, GetPrompts, Segment, SetPrompts

from .result_messages import confidence_message, label_info_message, mask_message

if TYPE_CHECKING:
    from rclpy.node import Node

    from dinoiser_ros.segmentation import SegmentationClass

    from .session import Session

# Seconds until a call is given up. Embedding takes seconds for each new prompt on a slow CPU.
PROMPTS_TIMEOUT = 600.0
SEGMENT_TIMEOUT = 30.0
_GRID, _FINEST_GRID = 64, 256  # cells along the longer side: usual, and most
NOT_CONFIGURED = (
    "the node is not configured: run 'ros2 lifecycle set <node> configure' first, "
    "or set the parameter 'prompts'"
)


class Services:
    """Creates the services. Each has a callback group of its own: none waits for another.

    Args:
        node: what they belong to.
        session: gives the session, None while the node is unconfigured.
        prompts_changed: called with the prompts after ~/set_prompts succeeded.
        refused: called with a sentence for each request that was refused, and before it with
            "prompts", "segment" or "probabilities".
    """

    def __init__(
        self,
        node: Node,
        session: Callable[[], Session | None],
        prompts_changed: Callable[[list[str]], None],
        refused: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._session = session
        self._prompts_changed = prompts_changed
        self._refused = refused
        for kind, name, callback in (
            (SetPrompts, "set_prompts", self._set_prompts),
            (GetPrompts, "get_prompts", self._get_prompts),
            (Segment, "segment", self._segment),
            (GetProbabilities, "get_probabilities", self._get_probabilities),
        ):
            group = MutuallyExclusiveCallbackGroup()
            node.create_service(kind, f"~/{name}", callback, callback_group=group)

    def _set_prompts(self, request: Any, response: Any) -> Any:
        session = self._session()
        if session is None:
            return self._refuse("prompts", response, NOT_CONFIGURED)
        prompts = session.changes.resolve_prompts(request.prompts)
        before = session.changes.prompts
        try:
            session.changes.check({"prompts": prompts})
            classes = session.changes.request({"prompts": prompts}).result(PROMPTS_TIMEOUT)
        except Exception as error:  # answered, never raised: the node goes on
            if session.changes.prompts == prompts:
                session.changes.abandon_prompts(before)
            return self._refuse("prompts", response, sentence(error))
        self._prompts_changed(prompts)
        response.success = True
        response.message = f"{len(classes)} classes"
        return _with_classes(response, classes)

    def _get_prompts(self, request: Any, response: Any) -> Any:
        session = self._session()
        if session is None:
            response.prompts = list(self._node.get_parameter("prompts").value)
            return response
        response.prompts = session.changes.prompts
        return _with_classes(response, session.classes)

    def _segment(self, request: Any, response: Any) -> Any:
        session = self._session()
        if session is None:
            return self._refuse("segment", response, NOT_CONFIGURED)
        try:
            segmentation = session.segment(request.image).result(SEGMENT_TIMEOUT)
        except Exception as error:  # answered, never raised: the node goes on
            return self._refuse("segment", response, sentence(error))
        header = request.image.header
        response.mask = mask_message(segmentation, header)
        response.confidence = confidence_message(segmentation, header)
        threshold = session.settings["confidence_threshold"]
        response.labels = label_info_message(segmentation.classes, threshold, header.stamp)
        response.success = True
        return response

    def _get_probabilities(self, request: Any, response: Any) -> Any:
        session = self._session()
        if session is None:
            return self._refuse("probabilities", response, NOT_CONFIGURED)
        longer_side = min(request.longer_side or _GRID, _FINEST_GRID)
        try:
            found, classes = session.probabilities(request.image, longer_side).result(
                SEGMENT_TIMEOUT
            )
        except Exception as error:  # answered, never raised: the node goes on
            return self._refuse("probabilities", response, sentence(error))
        response.rows, response.columns = found.shape[1:]
        response.probabilities = array("B", confidence_pixels(found).tobytes())
        response.success = True
        return _with_classes(response, classes)

    def _refuse(self, kind: str, response: Any, sentence: str) -> Any:
        self._refused(kind, sentence)
        response.success = False
        response.message = sentence
        return response


def _with_classes(response: Any, classes: Sequence[SegmentationClass]) -> Any:
    response.class_ids = [entry.id for entry in classes]
    response.class_names = [entry.name for entry in classes]
    return response


def sentence(error: Exception) -> str:
    """What a request that failed is answered with."""
    if isinstance(error, FutureTimeoutError):
        return "it takes too long on this machine: try again with fewer prompts or smaller images"
    return str(error) or type(error).__name__
