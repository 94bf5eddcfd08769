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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dinoiser_ros.messages import decode as encodings

from .parameters import BY_NAME, FROM_HEADS

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import Segmenter

# Parameters that are options of the segmenter, and prompts: changing them changes what masks mean.
OPTION_NAMES = (
    "method",
    "background_filter",
    "gamma",
    "delta",
    "confidence_threshold",
    "inference_size",
    "background_source",
    "background_uncertainty",
    "ks_threshold",
    "pd_threshold",
    "attention_thr",
)

MIN_INFERENCE_SIZE = 112  # pixels; below it a full GPU is not the node's fault


def load_segmenter(values: Mapping[str, Any]) -> Segmenter:
    """Load the model that the parameters name and embed their prompts; takes seconds.

    Args:
        values: all parameters of the node by name.

    Raises:
        DinoiserError: the model cannot be loaded, or a value does not fit it.
    """
    import dinoiser_ros.visualization.overlay  # noqa: F401  (imports take Python's lock: now, not amid the frames)
    from dinoiser_ros.segmentation import Segmenter

    encodings.preload()
    # All options at once, since they decide together which weights are needed.
    options = _options(values)
    size = options.pop("inference_size")
    segmenter = Segmenter(
        model=values["model"],
        weights=values["weights"] or None,
        heads=values["heads"] or None,
        dino=values["dino"] or None,
        diffusion=values["diffusion"] or None,
        device=values["device"],
        precision=values["precision"],
        cuda_graphs=values["cuda_graphs"],
        offline=values["offline"],
        **options,
    )
    segmenter.set_options(inference_size=size or segmenter.default_inference_size)
    segmenter.set_prompts(meant_prompts(segmenter, values["prompts"]))
    return segmenter


def meant_prompts(segmenter: Segmenter, prompts: Sequence[str]) -> list[str]:
    """Prompts as they are to be used: the parameter's default, or none, means the classes of the
    checkpoint if the model is one of maskclip+.
    """
    trained = segmenter.trained
    if trained is not None and list(prompts) in ([], BY_NAME["prompts"].default):
        return list(trained.prompts)
    return list(prompts)


def segmenter_options(segmenter: Segmenter, values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter values as the segmenter's options; those that are no options are left out."""
    options = _options(values)
    if options.get("inference_size") == 0:
        options["inference_size"] = segmenter.default_inference_size
    return options


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among parameter values; 0 still stands for the model's own inference size."""
    options = {name: values[name] for name in OPTION_NAMES if name in values}
    for name in ("gamma", "delta"):
        if options.get(name) == FROM_HEADS:
            options[name] = None
    return options


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
        segmenter.check_prompts(meant_prompts(segmenter, changes["prompts"]))


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
    size = (segmenter.inference_size or segmenter.default_inference_size) // 2
    if size < MIN_INFERENCE_SIZE:
        return None
    segmenter.set_options(inference_size=size)
    return size


def spare_collections() -> None:
    """Keep what is loaded by now out of the garbage collector's later rounds.

    torch and ROS are half a million objects; looking through them holds Python's lock
    for a quarter of a second, amid the frames. Undone by `free_device_memory`.
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
