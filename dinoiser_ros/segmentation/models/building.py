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
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip, sizes
from dinoiser_ros.segmentation.networks.siglip.towers import SiglipModel
from dinoiser_ros.segmentation.weights.checkpoint import State, shapes_of

from .config_checks import MAX_BYTES, check_config, check_sizes
from .specs import Statistics, channels


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
    except Exception as error:  # open_clip's and PyTorch's, for values of any kind
        raise not_plain(name, error) from error
    return clip, SimpleTokenizer(context_length=context_length)


def build_siglip(config: dict[str, Any], name: str = "The config") -> SiglipModel:
    """A SigLIP with random weights; see `build_clip`."""
    try:
        return SiglipModel(config)
    except Exception as error:  # PyTorch's, for values of any kind
        raise not_plain(name, error) from error


def not_plain(name: str, error: Exception) -> WeightsError:
    """The error for a config that no network can be built of."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return WeightsError(
        f"{name} is not the config of a plain OpenCLIP model ({reason}): see the README for one."
    )


def _build_unusual(config: dict[str, Any]) -> ClipModel:
    """A CLIP that needs all of open_clip."""
    import open_clip  # takes seconds, see `open_clip_parts`

    clip: ClipModel = open_clip.CLIP(**config)
    return clip


def read_config(config: str | Path) -> dict[str, Any]:
    """The keyword arguments of `open_clip.CLIP` in a config.

    Args:
        config: path of an OpenCLIP config JSON, or the name of one that open_clip ships.

    Returns:
        They, with all sizes of the networks if it is a SigLIP's (see `is_siglip`).

    Raises:
        WeightsError: it cannot be read or is no such config.
    """
    values = _json_of(config)
    if isinstance(values, dict):
        values = values.get("model_cfg", values)  # the layout of OpenCLIP's files on hubs
    if not isinstance(values, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= values.keys():
        raise WeightsError(
            f"{config} is no OpenCLIP config: it needs embed_dim, vision_cfg and text_cfg."
        )
    if is_siglip(values):
        try:
            values = sizes(values)
        except Exception as error:  # a value of another kind than a size has
            raise not_plain(str(config), error) from error
    check_config(values, str(config))
    return {key: value for key, value in values.items() if key != "custom_text"}


def read_statistics(config: str | Path) -> Statistics | None:
    """Mean and standard deviation of the channels, if a config's file says them (OpenCLIP's do).

    Raises:
        WeightsError: the file cannot be read, or they are no such numbers.
    """
    values = None if isinstance(config, str) else _json_of(config)
    given = values.get("preprocess_cfg") if isinstance(values, dict) else None
    if not isinstance(given, dict) or "mean" not in given or "std" not in given:
        return None
    try:
        return channels(given["mean"]), channels(given["std"])
    except (TypeError, ValueError):
        raise WeightsError(
            f"{config} has a preprocess_cfg whose mean and std are not three numbers between 0 and "
            "1: correct it."
        ) from None


def _json_of(config: str | Path) -> Any:
    """What is in a config; None for a name that open_clip does not know."""
    if isinstance(config, str):
        return model_config(config)
    try:
        if config.stat().st_size > MAX_BYTES:
            raise WeightsError(f"{config} is too large to be an OpenCLIP config: check it.")
        return json.loads(config.read_text(encoding="utf-8"))
    except WeightsError:
        raise
    except Exception as error:  # the file system's and json's, RecursionError among them
        raise WeightsError(f"{config} cannot be read as JSON ({error}): check it.") from error


def compare_sizes(
    config: dict[str, Any], state: State, source: str, name: str, prefix: str | None = "visual."
) -> None:
    """Compare a config with the weights that it shall be filled with, before it is built.

    Args:
        config: see `read_config`.
        state: the weights.
        source, prefix: see `check_sizes`.
        name: of the config, for an error message.

    Raises:
        WeightsError: they do not fit each other, or it is no config.
    """
    try:
        check_sizes(config, shapes_of(state), source, prefix)
    except WeightsError:
        raise
    except Exception as error:  # a value of another kind than a size has
        raise not_plain(name, error) from error
