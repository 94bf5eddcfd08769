# SPDX-License-Identifier: Apache-2.0
"""The segmenter as the node holds it: loaded from parameters, changed between two frames.

torch is imported when the first segmenter is loaded and not before: it takes seconds, and a wrong
parameter should be reported at once.
"""

from __future__ import annotations

import dataclasses
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
