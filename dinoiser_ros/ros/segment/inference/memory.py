# SPDX-License-Identifier: Apache-2.0
"""Memory of a process that runs for weeks: garbage collection, GPU memory, the C library's heap."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import time

import numpy as np

HUGE_IMAGE = 24_000_000  # bytes: 8 million RGB pixels
TRIM_PERIOD = 30.0  # seconds


def spare_collections() -> None:
    """Keep what is loaded by now out of the garbage collector's later rounds.

    torch and ROS are half a million objects; looking through them holds Python's lock
    for a quarter of a second, while frames wait. Undone by `free_device_memory`.
    """
    gc.collect()
    gc.freeze()


def free_device_memory() -> None:
    """Give the GPU memory of a segmenter that is no longer used back to the device."""
    gc.unfreeze()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def free_host_memory() -> None:
    """Give memory that was freed, but that the C library keeps, back to the system."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


class HeapTrimmer:
    """Calls `free_host_memory` between frames, at moments when it is worth its time.

    Once huge images are over, and every `TRIM_PERIOD` seconds, since what images and prompts of
    many sizes leave behind adds up.
    """

    def __init__(self) -> None:
        self._last_was_huge = False
        self._trimmed = time.monotonic()

    def after_frame(self, image: np.ndarray) -> None:
        """Trim the heap if it is time for it; `image`, (H, W, 3) uint8, was segmented just now."""
        huge, now = image.nbytes > HUGE_IMAGE, time.monotonic()
        if not huge and (self._last_was_huge or now - self._trimmed > TRIM_PERIOD):
            free_host_memory()
            self._trimmed = now
        self._last_was_huge = huge
