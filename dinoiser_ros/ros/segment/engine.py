# SPDX-License-Identifier: Apache-2.0
"""The segmenter as the node holds it: loaded from parameters, changed between two frames.

torch is imported when the first segmenter is loaded and not before: it takes seconds, and a wrong
parameter should be reported at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dinoiser_ros.messages import decode
from dinoiser_ros.option_schema import FRAME_OPTIONS, MODEL_OPTIONS

from .parameters import BY_NAME

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import Segmenter
    from dinoiser_ros.utils.option import Option

MIN_INFERENCE_SIZE = 112  # pixels; a GPU that is full even then is filled by another program


def load_segmenter(values: Mapping[str, Any]) -> Segmenter:
    """Load the model that the parameters name and embed their prompts; takes seconds.

    Args:
        values: all parameters of the node by name.

    Raises:
        DinoiserError: the model cannot be loaded, or a value does not fit it.
    """
    # Imported now, since imports hold Python's lock and would delay frames later.
    import dinoiser_ros.visualization.overlay  # noqa: F401
    from dinoiser_ros.segmentation import Segmenter

    decode.preload()
    # All options at once, since they decide together which weights are needed.
    options = python_values(FRAME_OPTIONS, values)
    size = options.pop("inference_size")
    segmenter = Segmenter(**python_values(MODEL_OPTIONS, values), **options)
    segmenter.set_options(inference_size=size or segmenter.default_inference_size)
    segmenter.set_prompts(resolve_prompts(segmenter, values["prompts"]))
    return segmenter


def resolve_prompts(segmenter: Segmenter, prompts: Sequence[str]) -> list[str]:
    """The prompts that a list of prompts stands for.

    With a checkpoint of maskclip+, the parameter's default and an empty list both stand for all
    classes of the checkpoint.
    """
    trained = segmenter.trained
    if trained is not None and list(prompts) in ([], BY_NAME["prompts"].default):
        return list(trained.prompts)
    return list(prompts)


def segmenter_options(segmenter: Segmenter, values: Mapping[str, Any]) -> dict[str, Any]:
    """The segmenter's options among parameter values, as the segmenter takes them."""
    options = python_values(FRAME_OPTIONS, values)
    if "inference_size" in options and options["inference_size"] is None:
        options["inference_size"] = segmenter.default_inference_size
    return options


def python_values(options: Iterable[Option], values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are among parameter values, with None where ROS has another value."""
    return {
        option.name: option.value_of(values[option.name])
        for option in options
        if option.name in values
    }


def check_changes(segmenter: Segmenter, changes: Mapping[str, Any]) -> None:
    """Raise `DinoiserError` if changed parameters do not fit this segmenter; takes no time."""
    from dinoiser_ros.segmentation import OptionError
    from dinoiser_ros.segmentation.methods.registry import MODEL_PARTS

    options = dataclasses.replace(segmenter.options, **segmenter_options(segmenter, changes))
    for part in segmenter.missing_parts(options):
        if part in MODEL_PARTS:
            raise OptionError(
                f"method '{options.method}' {MODEL_PARTS[part]}: set 'model' and 'method' together "
                "and configure the node again."
            )
        raise OptionError(
            f"method '{options.method}' needs {part} with these parameters, which this model has "
            f"none of: set '{part}' and configure the node again."
        )
    if "prompts" in changes:
        segmenter.check_prompts(resolve_prompts(segmenter, changes["prompts"]))


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

    After an error of CUDA every further call fails, whatever the cause was.
    """
    if is_out_of_memory(error):
        return False
    signs = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "NVML")
    return type(error).__name__ == "AcceleratorError" or any(s in str(error) for s in signs)


def reduce_resolution(segmenter: Segmenter) -> int | None:
    """Halve the size that images are resized to; returns it, None if it cannot be smaller."""
    size = (segmenter.inference_size or segmenter.default_inference_size) // 2
    if size < MIN_INFERENCE_SIZE:
        return None
    segmenter.set_options(inference_size=size)
    return size


def spare_collections() -> None:
    """Keep what is loaded by now out of the garbage collector's later rounds.

    torch and ROS are half a million objects. Looking through them would hold Python's lock for a
    quarter of a second, which delays frames. `free_device_memory` undoes it.
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
