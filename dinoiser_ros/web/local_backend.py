# SPDX-License-Identifier: Apache-2.0
"""The back end without ROS: a `Segmenter`, and pictures in place of cameras."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dinoiser_ros.errors import RequestError
from dinoiser_ros.messages.encode import confidence_pixels
from dinoiser_ros.option_schema import FRAME_OPTIONS
from dinoiser_ros.pictures.decode import read_picture
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.options import check_parts
from dinoiser_ros.utils.option import Option, by_name
from dinoiser_ros.utils.sentences import sentence_of

from .backend import OK, WARN, Diagnostic, Parameter, ProbabilityGrid, State
from .frame import Frame

_OPTIONS = by_name(FRAME_OPTIONS)
_PROMPTS = Option(
    "prompts",
    ["floor"],
    "What to look for, one class for each entry; 'floor: wooden floor, carpet' is one class of "
    "several phrases.",
)


class LocalBackend:
    """Segments the pictures that somebody looks at, again after each change.

    Args:
        segmenter: with prompts set.
        pictures: files by the names that are shown.
    """

    def __init__(self, segmenter: Segmenter, pictures: Mapping[str, Path]) -> None:
        self._segmenter = segmenter
        self._pictures = dict(pictures)
        self._condition = threading.Condition()
        self._watched: frozenset[str] = frozenset()
        self._version = 0  # of prompts and options
        self._frames: dict[str, tuple[int, Frame]] = {}  # with the version they were made with
        self._closed = False
        self._last_error = ""
        self._seconds = 0.0
        self._changed: Callable[[], None] = lambda: None
        self._state = self._current_state()
        self._thread = threading.Thread(target=self._run, name="segmenting", daemon=True)

    def start(self, changed: Callable[[], None]) -> None:
        """See `Backend`."""
        self._changed = changed
        self._thread.start()

    def close(self) -> None:
        """See `Backend`."""
        with self._condition:
            self._closed = True
            self._condition.notify()

    def state(self) -> State:
        """See `Backend`."""
        return self._state

    def watch(self, cameras: frozenset[str]) -> None:
        """See `Backend`."""
        with self._condition:
            self._watched = cameras
            self._frames = {name: self._frames[name] for name in cameras & self._frames.keys()}
            self._condition.notify()

    def newest(self, camera: str) -> Frame | None:
        """See `Backend`."""
        entry = self._frames.get(camera)
        return None if entry is None else entry[1]

    def change(self, values: Mapping[str, Any]) -> None:
        """See `Backend`."""
        options = dict(values)
        prompts = options.pop("prompts", None)
        for name, value in options.items():
            if name not in _OPTIONS:
                raise RequestError(f"There is no parameter '{name}'.")
            _OPTIONS[name].without_none().check(value)
        changes: Any = {name: _OPTIONS[name].value_of(value) for name, value in options.items()}
        self._change(changes, prompts)
        self._segment_again()

    def _change(self, changes: Any, prompts: Sequence[str] | None) -> None:
        """Change options and prompts together: what both are to be is checked before either is."""
        segmenter = self._segmenter
        wanted = dataclasses.replace(segmenter.options, **changes)
        check_parts(wanted, segmenter.parts)
        if prompts is None:
            segmenter.set_options(**changes)
            return
        segmenter.check_prompts(prompts, wanted)
        vocabulary = segmenter.embed_prompts(prompts)
        if vocabulary.taught:  # only the options to come may suit examples
            segmenter.set_options(**changes)
            segmenter.use(vocabulary)
        else:  # only the options before may have suited those of the prompts before
            segmenter.use(vocabulary)
            segmenter.set_options(**changes)

    def teach(self, frame: Frame, name: str, region: np.ndarray) -> int:
        """See `Backend`."""
        count = self._segmenter.teach(name, frame.image, region)
        self._examples_changed()
        return count

    def forget(self, name: str, newest: int | None) -> int:
        """See `Backend`."""
        count = self._segmenter.forget(name, newest)
        self._examples_changed()
        return count

    def probabilities(self, frame: Frame) -> ProbabilityGrid:
        """See `Backend`."""
        vocabulary = self._segmenter.vocabulary
        values = self._segmenter.probability_grid(frame.image)
        if self._segmenter.vocabulary is not vocabulary:  # whose values these are is not known
            raise RequestError("The prompts changed meanwhile: ask again.")
        return ProbabilityGrid(tuple(entry.name for entry in vocabulary.classes), values)

    def _examples_changed(self) -> None:
        if self._segmenter.vocabulary.taught:
            self._segment_again()
        else:
            self._tell()

    def _segment_again(self) -> None:
        with self._condition:
            self._version += 1
            self._condition.notify()
        self._tell()

    def _tell(self) -> None:
        self._state = self._current_state()
        self._changed()

    def _current_state(self) -> State:
        segmenter = self._segmenter
        prompts = list(segmenter.vocabulary.prompts)
        parameters = [_parameter(_PROMPTS, prompts)]
        for option in FRAME_OPTIONS:
            value = getattr(segmenter.options, option.name)
            shown = option.without_none()
            parameters.append(_parameter(shown, option.unset if value is None else value))
        values = {
            "model": segmenter.model_name,
            "method": segmenter.method,
            "device": str(segmenter.device),
            "precision": segmenter.precision,
            "inference_median_ms": f"{self._seconds * 1000:.0f}" if self._seconds else "-",
            "last_error": self._last_error,
        }
        level, text = (WARN, self._last_error) if self._last_error else (OK, "ready")
        return State(
            segmenter.model_name,
            True,
            "",
            tuple(self._pictures),
            tuple((entry.id, entry.name) for entry in segmenter.classes),
            tuple(parameters),
            (Diagnostic("node", level, text, values),),
            tuple(segmenter.examples.counts.items()),
        )

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._closed or self._due() is not None)
                if self._closed:
                    return
                name, version = self._due(), self._version
            if name is not None:
                frame = self._segment(name)
                with self._condition:
                    if name in self._watched:
                        self._frames[name] = version, frame
                self._tell()

    def _due(self) -> str | None:
        """A picture that somebody looks at and that was not segmented as it would be now."""
        for name in self._pictures:
            if name in self._watched:
                entry = self._frames.get(name)
                if entry is None or entry[0] != self._version:
                    return name
        return None

    def _segment(self, name: str) -> Frame:
        path = self._pictures[name]
        try:
            image = read_picture(path)
            start = time.monotonic()
            found = self._segmenter.segment(image)
            self._seconds = time.monotonic() - start
            self._last_error = ""
        except Exception as error:  # one bad picture must not end the others
            self._last_error = sentence_of(error)
            return Frame(name, 0.0, lambda: read_picture(path))
        confidence = confidence_pixels(found.confidence)
        names = {entry.id: entry.name for entry in found.classes}
        stamp = path.stat().st_mtime if path.exists() else 0.0
        labels, unlabeled = found.labels, found.unlabeled
        return Frame(name, stamp, lambda: image, labels, confidence, names, unlabeled)


def _parameter(option: Option, value: Any) -> Parameter:
    return Parameter(
        option.name,
        option.kind.__name__,
        list(value) if option.kind is list else value,
        option.description + (f" [{option.unit}]" if option.unit else ""),
        option.takes,
        *_range(option),
        option.choices,
    )


def _range(option: Option) -> tuple[float | None, float | None]:
    """The range of a control: with the special value that lies outside of it."""
    low, high = option.minimum, option.maximum
    if low is None or high is None or option.special is None:
        return low, high
    return min(low, option.special), max(high, option.special)
