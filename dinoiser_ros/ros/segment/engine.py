# SPDX-License-Identifier: Apache-2.0
"""The segmenter as the node holds it: loaded from parameters, changed between two frames.

torch is imported when the first segmenter is loaded and not before: it takes seconds, and a wrong
parameter should be reported at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dinoiser_ros.messages import decode
from dinoiser_ros.messages.prompt_ids import split_ids
from dinoiser_ros.option_schema import FRAME_OPTIONS, MODEL_OPTIONS

from .parameters import BY_NAME

if TYPE_CHECKING:
    from dinoiser_ros.segmentation import Segmenter
    from dinoiser_ros.segmentation.options import Options
    from dinoiser_ros.utils.option import Option

MAX_FRAME_TIME = 60.0  # seconds on a CPU
_TYPICAL_SIZE = (480, 640)  # of a camera's image: none has arrived when parameters are checked


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
    segmenter = Segmenter(**python_values(MODEL_OPTIONS, values), **options)
    _, prompts = split_ids(resolve_prompts(segmenter, values["prompts"]))
    check_frame_cost(segmenter, segmenter.options, prompts)
    segmenter.set_prompts(prompts)
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

    options = dataclasses.replace(segmenter.options, **python_values(FRAME_OPTIONS, changes))
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
    prompts: Sequence[str] = segmenter.vocabulary.prompts
    if "prompts" in changes:
        _, prompts = split_ids(resolve_prompts(segmenter, changes["prompts"]))
    if {"prompts", "method"} & changes.keys():
        segmenter.check_prompts(prompts, options)
    if {"prompts", "inference_size", "method"} & changes.keys():
        check_frame_cost(segmenter, options, prompts)


def check_frame_cost(segmenter: Segmenter, options: Options, prompts: Sequence[str]) -> None:
    """Refuse what would take a CPU longer than `MAX_FRAME_TIME` for a camera's frame.

    Before anything is computed: a frame in work cannot be stopped, and the node would answer
    nothing that has to wait for it.

    Raises:
        OptionError: it takes too long.
        ImageError: it takes more memory than is free.
    """
    from dinoiser_ros.segmentation.inference.cost import FrameKind, check_memory, check_time
    from dinoiser_ros.segmentation.pixels.preprocess import inference_shape

    shape = inference_shape(_TYPICAL_SIZE, segmenter.shorter_side(options))
    phrases = sum(prompt.count(",") + 1 for prompt in prompts)
    kind = FrameKind(_TYPICAL_SIZE, shape, phrases, refinements=options.pamr)
    check_time(kind, segmenter.parts, MAX_FRAME_TIME)
    check_memory(kind, segmenter.parts)
