# SPDX-License-Identifier: Apache-2.0
"""OpenCLIP configs against limits and against the weights, before a network is built of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.plain_clip import TEXT_DEFAULTS, VISION_DEFAULTS
from dinoiser_ros.segmentation.networks.siglip.config import is_siglip

MAX_BYTES = 1 << 20  # of a file; open_clip's are below 2 kB
_MAX_DEPTH, _MAX_ENTRIES = 6, 500
_MAX_NUMBER = 1 << 21  # beyond the largest vocabulary
_SIZES = {"embed_dim", "mlp_ratio", "heads", *VISION_DEFAULTS, *TEXT_DEFAULTS}
# What makes open_clip build a network of another library, or another than a vision transformer.
_FOREIGN = ("timm_model_name", "hf_model_name", "attentional_pool", "attn_pooler_queries")

Shape = tuple[int, ...]


def check_config(config: Mapping[str, Any], name: str) -> None:
    """Refuse a config whose numbers are no sizes of a network, or that is of another kind.

    Args:
        config: see `read_config`.
        name: what to call it in an error message.

    Raises:
        WeightsError: see above.
    """
    for key, value in _entries(config, name):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and not abs(value) <= _MAX_NUMBER:  # also NaN
            raise WeightsError(f"{name} has a {key} of {_short(value)}: no network is like that.")
        if key in _SIZES and (isinstance(value, bool) or (number and value <= 0)):
            raise WeightsError(f"{name} has a {key} of {_short(value)}: it has to be positive.")
        if key in _FOREIGN and value or (key == "layers" and isinstance(value, Sequence)):
            raise WeightsError(
                f"{name} has {key}, which is not supported: use a plain OpenCLIP ViT such as "
                "ViT-B-16."
            )


def _entries(config: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """All names and values at any depth, those in lists with the list's name."""
    waiting: list[tuple[str, Any, int]] = [("config", dict(config), 0)]
    seen = 0
    while waiting:
        key, value, depth = waiting.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_ENTRIES:
            raise WeightsError(f"{name} is nested too deeply or too long to be an OpenCLIP config.")
        yield key, value
        if isinstance(value, dict):
            waiting += [(str(k), v, depth + 1) for k, v in value.items()]
        elif isinstance(value, list):
            waiting += [(key, v, depth + 1) for v in value]


def check_sizes(
    config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], source: str, prefix: str | None
) -> None:
    """Compare a config with weights by a few tensors that tell all sizes.

    Args:
        config: see `read_config`; one that `check_config` accepts.
        shapes: of the weights, by their names.
        source: what to call the weights in an error message.
        prefix: "visual." for a CLIP; "" for a vision tower alone, None for a text tower alone.

    Raises:
        WeightsError: a tensor is missing or has another shape.
    """
    shapes_of = _siglip_shapes if is_siglip(dict(config)) else _vision_shapes
    wanted = {} if prefix is None else dict(shapes_of(config, prefix))
    if prefix != "":
        wanted |= dict(_text_shapes(config))
    missing = [name for name in wanted if name not in shapes]
    differing = [n for n, shape in wanted.items() if n in shapes and tuple(shapes[n]) != shape]
    for what, names in (("other shape:", differing), ("missing:", missing)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise WeightsError(
                f"{source} does not fit the model's architecture ({what} {names[0]}{more}): give "
                "the weights that belong to this config."
            )


def _vision_shapes(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Shape]]:
    vision = VISION_DEFAULTS | config["vision_cfg"]
    width, patch, side = vision["width"], vision["patch_size"], vision["image_size"]
    if isinstance(patch, int):
        yield f"{prefix}conv1.weight", (width, 3, patch, patch)
        if isinstance(side, int):
            yield f"{prefix}positional_embedding", (1 + (side // patch) ** 2, width)
    yield f"{prefix}proj", (width, config["embed_dim"])
    yield from _block_shapes(f"{prefix}transformer", vision)


def _siglip_shapes(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Shape]]:
    vision = config["vision_cfg"]
    width, patch, side = vision["width"], vision["patch_size"], vision["image_size"]
    yield f"{prefix}conv1.weight", (width, 3, patch, patch)
    yield f"{prefix}positional_embedding", (1, (side // patch) ** 2, width)
    yield f"{prefix}attn_pool.latent", (1, 1, width)
    yield from _block_shapes(f"{prefix}transformer", vision)


def _text_shapes(config: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    text = TEXT_DEFAULTS | config["text_cfg"]
    yield "token_embedding.weight", (text["vocab_size"], text["width"])
    more = int(bool(text.get("embed_cls")))
    yield "positional_embedding", (text["context_length"] + more, text["width"])
    yield from _block_shapes("transformer", text)


def _block_shapes(name: str, tower: Mapping[str, Any]) -> Iterator[tuple[str, Shape]]:
    """The last block's, whose number tells how many there are, and the first one's MLP."""
    width, layers, hidden = tower["width"], tower["layers"], tower["width"] * tower["mlp_ratio"]
    yield f"{name}.resblocks.{layers - 1}.ln_1.weight", (width,)
    yield f"{name}.resblocks.0.mlp.c_fc.weight", (math.floor(hidden), width)


def _short(value: object) -> str:
    try:
        text = str(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return "thousands of digits"
    return text if len(text) <= 20 else f"{text[:17]}..."
