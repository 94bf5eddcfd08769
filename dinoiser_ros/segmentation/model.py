"""Building an OpenCLIP model from its config and putting weights into it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import open_clip
from open_clip.tokenizer import SimpleTokenizer
from torch import nn

from .checkpoint import load_into, read_checkpoint
from .download import Progress
from .errors import WeightsError
from .heads import Heads, heads_from_state
from .weights import ModelSpec, find_file, parse_source

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class LoadedModel:
    """A frozen OpenCLIP model in float32 with what belongs to it."""

    clip: nn.Module
    tokenizer: object
    heads: Heads | None


def load_model(
    spec: ModelSpec,
    weights: PathLike | None = None,
    heads: PathLike | None = None,
    *,
    needs_heads: bool = True,
    offline: bool = False,
    progress: Progress | None = None,
) -> LoadedModel:
    """Find, check and load everything that a model consists of.

    Args:
        spec: from `find_model`.
        weights, heads: paths or URLs that take the place of the registered ones.
        needs_heads: whether missing heads are an error; otherwise they are loaded if at hand.
        offline: never use the network.
        progress: see `download`.

    Raises:
        WeightsError: one sentence that says what is wrong and what to do.
    """
    config = read_config(spec.config)
    weight_sources = (parse_source(weights),) if weights else spec.weights
    head_sources = (parse_source(heads),) if heads else spec.heads
    if not weight_sources:
        raise WeightsError(f"The model {spec.name} has no weights of its own: give `weights`.")
    if needs_heads and not head_sources:
        raise WeightsError(
            f"The model {spec.name} has no heads of its own: give `heads`, or use method "
            "'maskclip'."
        )
    clip, tokenizer = build_clip(config, spec.name)
    path = find_file(weight_sources, offline, progress)
    load_into(clip, read_checkpoint(path)[0], str(path))
    clip.eval().requires_grad_(False)
    # Heads that the method can do without are not worth a download, but if they are at hand the
    # method may be changed while running.
    optional = not needs_heads and not heads
    try:
        head_path = find_file(head_sources, offline or optional, progress)
    except WeightsError:
        if not optional:
            raise
        return LoadedModel(clip, tokenizer, None)
    return LoadedModel(clip, tokenizer, load_heads(head_path, clip))


def load_heads(path: Path, clip: nn.Module) -> Heads:
    """Read heads and check that they fit the backbone.

    Raises:
        WeightsError: unreadable, or trained for features of another width.
    """
    state, metadata = read_checkpoint(path)
    heads = heads_from_state(state, metadata, str(path))
    width = clip.visual.conv1.out_channels
    if heads.width != width:
        raise WeightsError(
            f"{path} was trained on features of width {heads.width}, this backbone has {width}: "
            "give the heads that belong to it."
        )
    return heads


def build_clip(config: dict, name: str = "The config") -> tuple[nn.Module, object]:
    """An OpenCLIP model with random weights, and its tokenizer.

    Args:
        config: the keyword arguments of `open_clip.CLIP`, see `read_config`.
        name: what to call it in an error message.

    Raises:
        WeightsError: the config cannot be read or is not one of a plain CLIP.
    """
    try:
        clip = open_clip.CLIP(**config)
        context_length = config["text_cfg"].get("context_length", 77)
    except (TypeError, KeyError, AttributeError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"{name} is not the config of a plain OpenCLIP model ({error}): see the README for one."
        ) from error
    return clip, SimpleTokenizer(context_length=context_length)


def read_config(config: str | Path) -> dict:
    """The keyword arguments of `open_clip.CLIP` in a config.

    Args:
        config: path of an OpenCLIP config JSON, or the name of one that open_clip ships.

    Raises:
        WeightsError: it cannot be read or is no such config.
    """
    if isinstance(config, str):
        values = open_clip.get_model_config(config)
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
