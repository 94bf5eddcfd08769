# SPDX-License-Identifier: Apache-2.0
"""OpenCLIP's configs of SigLIP: which sizes they stand for, and what their weights are called."""

from __future__ import annotations

import re
from typing import Any

from dinoiser_ros.segmentation.networks.dino_weights import IN_BLOCK

# The sizes of timm's networks of that name.
_SIZES = {
    "base": {"width": 768, "layers": 12, "head_width": 64, "mlp_ratio": 4.0},
    "large": {"width": 1024, "layers": 24, "head_width": 64, "mlp_ratio": 4.0},
}
_VISION = {"image_size", "width", "layers", "head_width", "mlp_ratio", "patch_size", "approximate"}
_TEXT_DEFAULTS: dict[str, Any] = {"layers": 12, "heads": 12, "width": 768, "mlp_ratio": 4.0}
_TOP = {
    "patch_embed.proj.weight": "conv1.weight",
    "patch_embed.proj.bias": "conv1.bias",
    "pos_embed": "positional_embedding",
    "norm.weight": "ln_post.weight",
    "norm.bias": "ln_post.bias",
}
_TRUNK = "visual.trunk."


def is_siglip(config: dict[str, Any]) -> bool:
    """Whether a config of OpenCLIP is one of a SigLIP with attention pooling."""
    vision, text = config.get("vision_cfg"), config.get("text_cfg")
    return (
        isinstance(vision, dict)
        and isinstance(text, dict)
        and vision.get("timm_pool") == "map"
        and text.get("pool_type") == "last"
        and bool(text.get("no_causal_mask"))
        and bool(text.get("proj_bias"))
    )


def sizes(config: dict[str, Any]) -> dict[str, Any]:
    """A config with every size spelt out, as `SiglipModel` takes it.

    Args:
        config: see `is_siglip`; its vision tower is named as in timm, or its sizes are given.

    Raises:
        KeyError, ValueError: a size is missing, or the name is another network's.
    """
    vision, text = dict(config["vision_cfg"]), dict(config["text_cfg"])
    name = vision.get("timm_model_name")
    if name is not None:
        found = re.fullmatch(r"vit_(base|large)_patch(\d+)_siglip_\d+", str(name))
        if found is None:
            raise ValueError(f"the vision tower {name!r} is not supported")
        vision |= {**_SIZES[found[1]], "patch_size": int(found[2])}
    text = _TEXT_DEFAULTS | text
    for tower in (vision, text):
        kind = (tower.get("act_kwargs") or {}).get("approximate", "none")
        tower["approximate"] = tower.get("approximate", kind)
    plain = {key: vision[key] for key in sorted(_VISION)} | {"timm_pool": "map"}
    if plain["width"] != config["embed_dim"] or plain["width"] % plain["head_width"]:
        raise ValueError("its widths do not belong together")
    return {"embed_dim": config["embed_dim"], "vision_cfg": plain, "text_cfg": text}


def own_name(name: str) -> str:
    """What a weight of OpenCLIP's SigLIP files is called in `SiglipModel`."""
    if name.startswith("text."):
        return name.removeprefix("text.")
    if not name.startswith(_TRUNK):
        return name
    inner = name.removeprefix(_TRUNK)
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", inner)
    if block is not None:
        inner = f"transformer.resblocks.{block[1]}.{IN_BLOCK.get(block[2], block[2])}"
    return f"visual.{_TOP.get(inner, inner)}"
