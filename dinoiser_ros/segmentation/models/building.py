# SPDX-License-Identifier: Apache-2.0
"""OpenCLIP models from their configs, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.open_clip_parts import SimpleTokenizer, model_config
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer
from dinoiser_ros.segmentation.networks.plain_clip import PlainClip, is_plain_config


def build_clip(config: dict[str, Any], name: str = "The config") -> tuple[ClipModel, Tokenizer]:
    """An OpenCLIP model with random weights, and its tokenizer.

    Args:
        config: the keyword arguments of `open_clip.CLIP`, see `read_config`.
        name: what to call it in an error message.

    Raises:
        WeightsError: the config cannot be read or is not one of a plain CLIP.
    """
    try:
        clip = PlainClip(config) if is_plain_config(config) else _build_unusual(config)
        context_length = config["text_cfg"].get("context_length", 77)
    except (TypeError, KeyError, AttributeError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"{name} is not the config of a plain OpenCLIP model ({error}): see the README for one."
        ) from error
    return clip, SimpleTokenizer(context_length=context_length)


def _build_unusual(config: dict[str, Any]) -> ClipModel:
    """A CLIP that needs all of open_clip."""
    import open_clip  # takes seconds, see `open_clip_parts`

    clip: ClipModel = open_clip.CLIP(**config)
    return clip


def read_config(config: str | Path) -> dict[str, Any]:
    """The keyword arguments of `open_clip.CLIP` in a config.

    Args:
        config: path of an OpenCLIP config JSON, or the name of one that open_clip ships.

    Raises:
        WeightsError: it cannot be read or is no such config.
    """
    if isinstance(config, str):
        values = model_config(config)
    else:
        try:
            values = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{config} cannot be read as JSON ({error}): check it.") from error
    if isinstance(values, dict):
        values = values.get("model_cfg", values)  # the layout of OpenCLIP's files on hubs
    if not isinstance(values, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= values.keys():
        raise WeightsError(
            f"{config} is no OpenCLIP config: it needs embed_dim, vision_cfg and text_cfg."
        )
    return {key: value for key, value in values.items() if key != "custom_text"}
