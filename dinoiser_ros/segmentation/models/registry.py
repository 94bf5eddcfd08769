# SPDX-License-Identifier: Apache-2.0
"""The models by name, as the files in `zoo/` describe them: one file for each family."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.sources import Source

from .config_checks import MAX_BYTES
from .specs import ModelSpec, is_entry, spec_of

__all__ = ["DATA_FOLDER", "MODELS", "ModelSpec", "find_model"]

DATA_FOLDER = Path(__file__).parent / "data"
"""The files of the embedded models."""
ZOO = Path(__file__).parent / "zoo"
"""Registry entries. The families are listed in this order, the default model first."""
FAMILIES = ("clip_dinoiser", "openai", "openclip", "siglip", "talk2dino", "demo")


def _read_zoo() -> dict[str, Callable[[], ModelSpec]]:
    found: dict[str, Callable[[], ModelSpec]] = {}
    for family in FAMILIES:
        path = ZOO / f"{family}.json"
        for entry in json.loads(path.read_text(encoding="utf-8")):
            found[entry["name"]] = partial(spec_of, entry, ZOO, str(path))
    return found


# Functions, so that the environment is read when a model is asked for.
MODELS: dict[str, Callable[[], ModelSpec]] = _read_zoo()


def find_model(model: str | os.PathLike[str]) -> ModelSpec:
    """Resolve a registered name, or the path of a config, a registry entry or a checkpoint.

    Raises:
        WeightsError: none of these.
    """
    name = os.fspath(model)
    if name in MODELS:
        return MODELS[name]()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".safetensors":
        return ModelSpec(path.stem, None, network=(Source(str(path)),))
    if path.is_file():
        values = _entry(path)
        return spec_of(values, path.parent, name) if values else ModelSpec(path.stem, path)
    raise WeightsError(
        f"There is no model {name!r}: use one of {', '.join(map(repr, MODELS))}, or the path of an "
        "OpenCLIP config or a registry entry (.json) or of a checkpoint of maskclip+ "
        "(.safetensors)."
    )


def _entry(path: Path) -> dict[str, Any] | None:
    """What a file holds, if that is a registry entry; whatever else is wrong is said later."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if is_entry(values) else None
