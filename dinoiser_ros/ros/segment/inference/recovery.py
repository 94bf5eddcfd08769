# SPDX-License-Identifier: Apache-2.0
"""Recovery from frames that could not be segmented: retries, a lower resolution, giving up."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dinoiser_ros.utils.sentences import first_line

from .memory import free_device_memory

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import Segmenter

    from .pending_frame import PendingFrame

MIN_INFERENCE_SIZE = 112  # pixels; below it a full GPU is not the node's fault


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of the segmenter says that the device's memory is full."""
    text = str(error)
    return (
        type(error).__name__ == "OutOfMemoryError"
        or "CUDA error: out of memory" in text
        or "CUBLAS_STATUS_ALLOC_FAILED" in text
    )


def is_device_lost(error: BaseException) -> bool:
    """Whether an error says that this process cannot use the device any more.

    CUDA's errors stay: after one of them every further call fails, whatever its cause was.
    """
    if is_out_of_memory(error):
        return False
    signs = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "NVML")
    return type(error).__name__ == "AcceleratorError" or any(s in str(error) for s in signs)


def reduce_resolution(segmenter: Segmenter) -> int | None:
    """Halve the size that images are resized to; returns it, None if it cannot be smaller."""
    size = segmenter.inference_size or segmenter.default_inference_size
    if size is None or size // 2 < MIN_INFERENCE_SIZE:
        return None
    segmenter.set_options(inference_size=size // 2)
    return size // 2


class Recovery:
    """Goes on after a batch that failed; used by the inference thread only.

    Args:
        segmenter: the one that failed.
        segment: segments frames again, as one batch.
        skip: called with a frame that is given up, and why in a sentence.
        device_lost: called with a sentence for every batch that failed because the device can no
            longer be used.

    Attributes:
        batching: whether frames may be segmented together: until the device's memory was too
            small for it.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        segment: Callable[[Sequence[PendingFrame]], None],
        skip: Callable[[PendingFrame, str], None],
        device_lost: Callable[[str], None],
    ) -> None:
        self.batching = True
        self._segmenter = segmenter
        self._segment = segment
        self._skip = skip
        self._device_lost = device_lost

    def recover(self, batch: Sequence[PendingFrame], error: Exception) -> None:
        """Try a failed batch one by one; skip a failed frame, out of memory try smaller ones.

        A lost device would fail every frame from now on: none is tried again.
        """
        if is_device_lost(error):
            self._give_up(batch, error)
            return
        out_of_memory = is_out_of_memory(error)
        if out_of_memory:
            self.batching = False
            traceback.clear_frames(error.__traceback__)  # they hold the tensors that fill it
            free_device_memory()
        if len(batch) > 1:
            for frame in batch:
                self._segment([frame])
            return
        advice = ""
        if out_of_memory:
            size = reduce_resolution(self._segmenter)
            advice = f"; inference_size is {size} until it is set again" if size else ""
        self._skip(batch[0], f"an image was skipped: {first_line(error, 500)}{advice}")

    def _give_up(self, batch: Sequence[PendingFrame], error: Exception) -> None:
        for frame in batch:
            frame.camera.statistics.bad("device", time.monotonic())
        self._device_lost(
            f"the device '{self._segmenter.device}' failed ({first_line(error, 500)}): look at "
            "nvidia-smi and the kernel's log, then start the node again"
        )
