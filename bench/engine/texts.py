# SPDX-License-Identifier: Apache-2.0
"""A prompt that was never embedded before, by itself and while frames take all of the machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterator

import numpy as np

from dinoiser_ros.segmentation import Segmenter

from .report import Section
from .timing import Times

_NICENESS = 5  # with which the node embeds prompts
_PHRASES = (
    f"{which} {what}"
    for what, which in itertools.product(
        ("stool", "kettle", "forklift", "pallet", "cable", "ladder", "crate", "bucket", "hose"),
        ("blue", "wooden", "broken", "wet", "large", "metal", "old", "plastic", "yellow"),
    )
)


def time_new_prompts(segmenter: Segmenter, image: np.ndarray, rounds: int) -> Section:
    """Times of a prompt alone and beside a stream, and of the stream's frames without and with it.

    Frames follow each other without a pause, as a camera's do that is faster than the machine.
    """
    segmenter.embed_prompts(["wall"])  # what all templates begin with is kept from here on
    alone = [_embed(segmenter) for _ in range(rounds)]
    frames: list[tuple[float, float]] = []
    with _stream(segmenter, image, frames):
        _wait_for(frames, 3)
        beside, spans = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            beside.append(_embed(segmenter))
            spans.append((start, time.perf_counter()))
            _wait_for(frames, len(frames) + 2)
    met = [any(a < end and start < b for a, b in spans) for start, end in frames]
    lasted = [1e3 * (end - start) for start, end in frames]
    split = {
        kind: Times(tuple(ms for ms, m in zip(lasted, met, strict=True) if m == kind))
        for kind in (False, True)
    }
    return {
        "alone": {"new prompt": Times(tuple(alone)), "frame": split[False]},
        "together": {"new prompt": Times(tuple(beside)), "frame": split[True]},
    }


def _embed(segmenter: Segmenter) -> float:
    """Milliseconds of the next phrase, in a thread such as the node has for it."""
    took: list[float] = []

    def run() -> None:
        with contextlib.suppress(OSError, AttributeError):  # not Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        start = time.perf_counter()
        segmenter.embed_prompts([next(_PHRASES)])
        took.append(1e3 * (time.perf_counter() - start))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return took[0]


@contextlib.contextmanager
def _stream(
    segmenter: Segmenter, image: np.ndarray, frames: list[tuple[float, float]]
) -> Iterator[None]:
    """Frames one after the other in a thread; notes when each began and ended."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            start = time.perf_counter()
            segmenter.segment(image)
            frames.append((start, time.perf_counter()))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _wait_for(frames: list, number: int) -> None:
    while len(frames) < number:
        time.sleep(0.01)
