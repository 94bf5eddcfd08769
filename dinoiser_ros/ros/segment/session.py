# SPDX-License-Identifier: Apache-2.0
"""Everything that exists between configure and cleanup: model, cameras, inference thread."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.messages.topic_names import output_namespaces

from . import engine
from .image_subscription import Camera
from .inference_thread import Worker
from .publishers import MAX_CLASS_TOPICS, CameraOutputs
from .statistics import CameraStatistics

if TYPE_CHECKING:
    from rclpy.node import Node

    from dinoiser_ros.segmentation import Segmentation, SegmentationClass, Segmenter, Vocabulary

MAX_8BIT_CLASSES = 254


class SupersededError(RuntimeError):
    """Prompts were replaced, or given up, before they came into force."""


def _be_nice() -> None:
    """Let frames and services go first: embedding 400 prompts keeps a processor busy for long.

    But not without end: of processors that the stream takes all of, a quarter is left at 5, and a
    tenth at 10, with which a new prompt would take seconds.
    """
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


class Pipeline:
    """A configured node's insides.

    Args:
        node: publishers and subscriptions belong to it.
        segmenter: with prompts set.
        values: all parameters by name.
        report: called with (kind, sentence) for each thing that went wrong, throttled by the
        caller.
        device_lost: called with a sentence when the device can no longer be used.

    Raises:
        ParameterError: image_topics names one topic twice.
    """

    def __init__(
        self,
        node: Node,
        segmenter: Segmenter,
        values: Mapping[str, Any],
        report: Callable[[str, str], None],
        device_lost: Callable[[str], None],
    ) -> None:
        self.segmenter = segmenter
        self.prompts = self.resolve_prompts(values["prompts"])  # the last ones asked for
        self._report = report
        self._reported_text_cache = False
        self.cameras = self._make_cameras(node, values)
        self._worker = Worker(
            segmenter, self.cameras, values, node.get_clock(), report, device_lost
        )
        # Embedding prompts takes a while on a CPU: one thread, so that changes stay in order.
        self._numbers = itertools.count()
        self._newest: dict[str, int] = {}  # number of the last change of each parameter
        self._changer = ThreadPoolExecutor(1, thread_name_prefix="changes", initializer=_be_nice)
        self._worker.call(self._describe).result()
        self._report_text_cache()
        for camera in self.cameras:
            camera.subscribe()

    @property
    def settings(self) -> Mapping[str, Any]:
        """The parameters in force."""
        return self._worker.settings

    def activate(self) -> None:
        """Start to segment."""
        for camera in self.cameras:
            camera.last_stamp = 0
        self._worker.activate()

    def deactivate(self) -> None:
        """Stop; when this returns nothing more is published."""
        self._worker.deactivate()

    def close(self, timeout: float | None = None) -> None:
        """End the threads, take the topics away; wait at most `timeout` s for the frame in work."""
        for camera in self.cameras:
            camera.unsubscribe()
        self._changer.shutdown(wait=False, cancel_futures=True)
        if self._worker.close(timeout):
            for camera in self.cameras:
                camera.outputs.destroy()

    def check(self, changes: Mapping[str, Any]) -> None:
        """Raise `DinoiserError` if parameters cannot change so."""
        engine.check_changes(self.segmenter, changes)

    def change(self, changes: Mapping[str, Any]) -> Future[tuple[SegmentationClass, ...]]:
        """Change parameters together, between two frames; the stream goes on meanwhile.

        New prompts are embedded first, which takes a while; until then the old ones hold.

        Returns:
            A future of the classes that then hold, or of the error that kept all as it was.
        """
        changes = dict(changes)
        number = next(self._numbers)
        for name in changes:
            self._newest[name] = number
        if "prompts" not in changes:
            return self._worker.call(lambda: self._switch(changes, number, None))
        changes["prompts"] = self.prompts = self.resolve_prompts(changes["prompts"])
        return self._changer.submit(self._embed_and_switch, changes, number)

    def resolve_prompts(self, prompts: Sequence[str]) -> list[str]:
        """The prompts that a list of prompts stands for, see `engine.resolve_prompts`."""
        return engine.resolve_prompts(self.segmenter, prompts)

    def abandon_prompts(self, prompts: list[str]) -> None:
        """Give up on prompts that are still being embedded and go back to `prompts`."""
        self._newest["prompts"] = next(self._numbers)
        self.prompts = list(prompts)

    def segment(self, message: Any) -> Future[Segmentation]:
        """Segment one image message, before the frames that wait.

        Returns:
            A future of the result, or of the `ImageMessageError` or `DinoiserError`.
        """
        return self._worker.call(lambda: self.segmenter.segment(rgb_from_message(message)))

    def _make_cameras(self, node: Node, values: Mapping[str, Any]) -> list[Camera]:
        topics = [node.resolve_topic_name(topic) for topic in values["image_topics"]]
        if len(set(topics)) < len(topics):
            raise ParameterError(
                f"image_topics names a topic twice ({', '.join(topics)}): name each camera once."
            )
        return [
            Camera(
                node,
                topic,
                values["input_type"],
                CameraOutputs(node, namespace, values["outputs"]),
                CameraStatistics(time.monotonic()),
                self._receive,
            )
            for topic, namespace in zip(
                topics, output_namespaces(topics, node.get_name()), strict=True
            )
        ]

    def _receive(self, camera: Camera, message: Any) -> None:
        """A camera's message, in the executor: note it and leave it to the thread."""
        now = time.monotonic()
        camera.statistics.received(now)
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if stamp == 0 or stamp < camera.last_stamp:
            camera.statistics.bad("stamp", now)
            fault = "is zero" if stamp == 0 else "is older than the one before"
            self._report(
                f"stamp {camera.topic}",
                f"{camera.topic}: the image's stamp {fault}; the mask carries it on, but nothing "
                "can be synchronised with it: check the camera driver's clock",
            )
        camera.last_stamp = stamp
        self._worker.put(camera, message, now)

    def _embed_and_switch(
        self, changes: dict[str, Any], number: int
    ) -> tuple[SegmentationClass, ...]:
        self._refuse_outdated(number)
        vocabulary = self.segmenter.embed_prompts(changes["prompts"])
        self._report_text_cache()
        self._refuse_outdated(number)
        for camera in self.cameras:
            camera.outputs.prepare([entry.name for entry in vocabulary.classes])
        classes = self._worker.call(lambda: self._switch(changes, number, vocabulary)).result()
        with contextlib.suppress(RuntimeError):  # the node is being cleaned up
            self._changer.submit(self._tidy)  # whoever asked need not wait for that
        return classes

    def _tidy(self) -> None:
        for camera in self.cameras:
            camera.outputs.tidy()

    def _switch(
        self, changes: dict[str, Any], number: int, vocabulary: Vocabulary | None
    ) -> tuple[SegmentationClass, ...]:
        """Put changes into force; runs in the inference thread."""
        if vocabulary is not None:
            self._refuse_outdated(number)
        # Embedding took a while: what was set again meanwhile stays.
        changes = {name: value for name, value in changes.items() if self._newest[name] == number}
        self.segmenter.set_options(**engine.segmenter_options(self.segmenter, changes))
        if vocabulary is not None:
            self.segmenter.use(vocabulary)
        self._worker.settings = {**self._worker.settings, **changes}
        self._describe()
        return self.segmenter.classes

    def _refuse_outdated(self, number: int) -> None:
        if self._newest["prompts"] != number:
            raise SupersededError("other prompts were set before these were in use")

    def _report_text_cache(self) -> None:
        """Say once that text embeddings cannot be kept on disk: nothing else is wrong then."""
        problem = self.segmenter.text_cache_problem
        if problem is not None and not self._reported_text_cache:
            self._reported_text_cache = True
            self._report("text cache", problem)

    def _describe(self) -> None:
        if len(self.segmenter.classes) > MAX_CLASS_TOPICS:
            self._report(
                "topics",
                f"only the first {MAX_CLASS_TOPICS} of {len(self.segmenter.classes)} classes have "
                "a topic under ~/masks: use ~/class_masks for all of them",
            )
        if len(self.segmenter.classes) > MAX_8BIT_CLASSES:
            self._report(
                "classes",
                f"{len(self.segmenter.classes)} classes do not fit 8 bits: masks are mono16 and "
                "65535 is unlabeled; use at most 254 prompts where a mono8 mask is needed",
            )
        self._worker.describe()
