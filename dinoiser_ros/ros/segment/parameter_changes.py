# SPDX-License-Identifier: Apache-2.0
"""Changes of prompts and other parameters of a running node: embed, then switch between frames."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dinoiser_ros.messages.prompt_ids import split_ids
from dinoiser_ros.option_schema import FRAME_OPTIONS

from . import engine
from .points.depth_topics import check_mask_size

if TYPE_CHECKING:
    from dinoiser_ros.ros.segment.inference.inference_thread import InferenceThread
    from dinoiser_ros.segmentation import SegmentationClass, Segmenter, Vocabulary

    from .class_numbering import ClassNumbering
    from .publishers import CameraPublishers


class SupersededError(RuntimeError):
    """Prompts were replaced, or given up, before they came into force."""


def _lower_thread_priority() -> None:
    """Let frames and services go first: embedding 400 prompts keeps a processor busy for long.

    But not without limit: where frames use all processors, this thread gets a quarter of one at
    niceness 5, and a tenth at 10, with which a new prompt would take seconds.
    """
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


class ParameterChanges:
    """Changes parameters while frames go on; of two changes of one parameter the later one holds.

    Args:
        segmenter: with prompts set.
        thread: the inference thread that uses the segmenter.
        publishers: of all cameras.
        prompts: the value of the parameter `prompts`.
        announce: called in the inference thread after each change, to publish what masks mean.
        report_text_cache: called with `segmenter.text_cache_problem` after prompts were embedded.

    Attributes:
        prompts: the last ones asked for.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        thread: InferenceThread,
        publishers: Sequence[CameraPublishers],
        prompts: Sequence[str],
        announce: Callable[[], None],
        report_text_cache: Callable[[str | None], None],
    ) -> None:
        self._segmenter = segmenter
        self._thread = thread
        self._publishers = publishers
        self._announce = announce
        self._report_text_cache = report_text_cache
        self.prompts = self.resolve_prompts(prompts)
        self._numbers = itertools.count()
        self._newest: dict[str, int] = {}  # number of the last change of each parameter
        # Embedding prompts takes a while on a CPU: one thread, so that changes stay in order.
        self._embedding = ThreadPoolExecutor(
            1, thread_name_prefix="changes", initializer=_lower_thread_priority
        )

    def close(self) -> None:
        """Start no change any more; one that is being embedded ends without effect."""
        self._embedding.shutdown(wait=False, cancel_futures=True)

    def check(self, changes: Mapping[str, Any]) -> None:
        """Raise `DinoiserError` if parameters cannot change so."""
        engine.check_changes(self._segmenter, changes)
        check_mask_size(changes, self._thread.settings)
        if "prompts" in changes:
            from dinoiser_ros.segmentation.text.vocabulary import parse_prompts

            prompts = self.resolve_prompts(changes["prompts"])
            self._thread.numbering.after(prompts, parse_prompts(split_ids(prompts)[1])[1])

    def request(self, changes: Mapping[str, Any]) -> Future[tuple[SegmentationClass, ...]]:
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
            return self._thread.call(lambda: self._switch(changes, number))
        changes["prompts"] = self.prompts = self.resolve_prompts(changes["prompts"])
        return self._embedding.submit(self._embed_and_switch, changes, number)

    def resolve_prompts(self, prompts: Sequence[str]) -> list[str]:
        """Prompts as they are to be used, see `engine.resolve_prompts`."""
        return engine.resolve_prompts(self._segmenter, prompts)

    def abandon_prompts(self, prompts: Sequence[str]) -> None:
        """Give up on prompts that are still being embedded and go back to `prompts`."""
        self._newest["prompts"] = next(self._numbers)
        self.prompts = list(prompts)

    def _embed_and_switch(
        self, changes: dict[str, Any], number: int
    ) -> tuple[SegmentationClass, ...]:
        self._refuse_superseded(number)
        _, texts = split_ids(changes["prompts"])
        vocabulary = self._segmenter.embed_prompts(texts)
        self._report_text_cache(self._segmenter.text_cache_problem)
        self._refuse_superseded(number)
        # Only here, in one thread, is the numbering changed.
        numbering = self._thread.numbering.after(changes["prompts"], vocabulary.classes)
        for publishers in self._publishers:
            publishers.prepare_class_topics(numbering.classes)
        switch = self._thread.call(lambda: self._switch(changes, number, (vocabulary, numbering)))
        classes = switch.result()
        with contextlib.suppress(RuntimeError):  # the node is being cleaned up
            # Afterwards: whoever asked for the change need not wait for that.
            self._embedding.submit(self._remove_unused_topics)
        return classes

    def _remove_unused_topics(self) -> None:
        for publishers in self._publishers:
            publishers.remove_unused_class_topics()

    def _switch(
        self,
        changes: dict[str, Any],
        number: int,
        new: tuple[Vocabulary, ClassNumbering] | None = None,
    ) -> tuple[SegmentationClass, ...]:
        """Put changes into force; runs in the inference thread."""
        if new is not None:
            self._refuse_superseded(number)
        # Embedding took a while: what was set again meanwhile stays.
        changes = {name: value for name, value in changes.items() if self._newest[name] == number}
        options = engine.python_values(FRAME_OPTIONS, changes)
        if new is None:
            self._segmenter.set_options(**options)
        else:
            before = self._segmenter.vocabulary
            # First: whether a method can be used depends on the prompts that it is used with.
            self._segmenter.use(new[0])
            try:
                self._segmenter.set_options(**options)
            except Exception:
                self._segmenter.use(before)
                raise
            self._thread.numbering = new[1]
        self._thread.settings = {**self._thread.settings, **changes}
        self._announce()
        return self._thread.numbering.classes

    def _refuse_superseded(self, number: int) -> None:
        if self._newest["prompts"] != number:
            raise SupersededError("other prompts were set before these were in use")
