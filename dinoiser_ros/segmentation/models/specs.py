# SPDX-License-Identifier: Apache-2.0
"""A model as its registry entry describes it: a JSON object in `zoo/`, or a file of a user's own.

An entry has the fields of `ModelSpec` but for `path`. The lists of files hold objects with one of
`hub` and `file` (a repository on the Hugging Face hub and a file in it), `url`, or `path` (relative
to the JSON file), and `sha256` or `blob_id` where a checksum is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.sources import Source

_HUB = "https://huggingface.co"
PARTS = ("weights", "heads", "dino", "network", "text", "projection", "tokenizer")
_FILES = ("dino_config", "familiarity", "text_config")
_PLACES = {"hub", "file", "url", "path", "sha256", "blob_id"}

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Quoted:
    """Numbers from a paper.

    Attributes:
        method: that they were measured with.
        miou: by benchmark, in percent.
        source: where they are from.
    """

    method: str
    miou: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class ModelSpec:
    """What a model name stands for.

    Attributes:
        name: as shown to people.
        config: path of an OpenCLIP config JSON, or the name of a config that open_clip ships; None
            for a checkpoint of maskclip+, which holds no CLIP, and for a DINOv2 or DINOv3.
        weights, heads, dino: sources to try in order; none where the caller must give them.
        inference_size: shorter side in pixels that the model works best at.
        dino_config: path of the OpenCLIP config of `dino`; None if its weights are DINO's own.
        network: a checkpoint of maskclip+; its inference size is in it.
        familiarity: for a model that knows one world only, how images of others are told, see
            `inference.familiarity`.
        text, text_config, projection: for Talk2DINO: the CLIP whose text tower is used, its config,
            and the network that maps its embeddings into the space of its DINOv2 or DINOv3.
        tokenizer: `tokenizer.json` of a model whose texts are not cut by CLIP's tokenizer.
        mean, std: of the images' channels in training (RGB in [0, 1]); None for the family's own.
        about, licence: one line for people.
        patch_size: pixels of a patch's side; None if the files say it.
        parameters: millions of weights in all files together.
        methods: those that the model is meant for, the best first; others may work, too.
        quoted: quality as papers have it.
    """

    name: str
    config: str | Path | None
    weights: tuple[Source, ...] = ()
    heads: tuple[Source, ...] = ()
    inference_size: int = 448
    dino: tuple[Source, ...] = ()
    dino_config: Path | None = None
    network: tuple[Source, ...] = ()
    familiarity: Path | None = None
    text: tuple[Source, ...] = ()
    text_config: str | Path | None = None
    projection: tuple[Source, ...] = ()
    tokenizer: tuple[Source, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    about: str = ""
    licence: str = ""
    patch_size: int | None = None
    parameters: float | None = None
    methods: tuple[str, ...] = ()
    quoted: tuple[Quoted, ...] = ()

    @property
    def is_talk2dino(self) -> bool:
        """Whether it is a DINOv2 with CLIP's texts mapped into its space."""
        return bool(self.projection)

    @property
    def statistics(self) -> Statistics | None:
        """`mean` and `std`, if given."""
        return (self.mean, self.std) if self.mean and self.std else None

    @property
    def sources(self) -> dict[str, tuple[Source, ...]]:
        """The parts that it has files of, with the sources of each."""
        found = {part: getattr(self, part) for part in PARTS}
        return {part: sources for part, sources in found.items() if sources}


def is_entry(values: object) -> bool:
    """Whether a JSON value is a registry entry rather than a config of OpenCLIP."""
    return isinstance(values, dict) and "weights" in values and "vision_cfg" not in values


def spec_of(values: Mapping[str, Any], folder: Path, where: str) -> ModelSpec:
    """A registry entry as a `ModelSpec`.

    Args:
        values: the entry.
        folder: that its relative paths start from.
        where: what to call it in an error message.

    Raises:
        WeightsError: a field is missing, unknown or of another kind.
    """
    known = {field.name for field in fields(ModelSpec)}
    if unknown := sorted(values.keys() - known):
        raise WeightsError(f"{where} has an unknown field {unknown[0]!r}: see docs/reference.")
    if not isinstance(values.get("name"), str):
        raise WeightsError(f"{where} has no name: give it one, a text.")
    try:
        return _spec(dict(values), folder)
    except WeightsError as error:
        raise WeightsError(f"{where}: {error}") from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"{where} has a value of another kind than its field takes ({error}): compare it with "
            "those of the package in segmentation/models/zoo."
        ) from None


def _spec(values: dict[str, Any], folder: Path) -> ModelSpec:
    for part in PARTS:
        values[part] = tuple(_source(entry, folder) for entry in values.get(part, ()))
    for name in _FILES:
        if values.get(name) is not None:
            values[name] = _config(values[name], folder)
    values["config"] = _config(values.get("config"), folder)
    for name in ("mean", "std"):
        if values.get(name) is not None:
            values[name] = channels(values[name])
    values["methods"] = tuple(values.get("methods", ()))
    values["quoted"] = tuple(Quoted(**entry) for entry in values.get("quoted", ()))
    size = values.get("inference_size", 448)
    if isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= 4096:
        raise ValueError(f"inference_size {size!r}")
    return ModelSpec(**values)


def channels(numbers: Iterable[Any]) -> tuple[float, ...]:
    """Mean or standard deviation of an image's three channels; ValueError, TypeError for others."""
    values = tuple(float(number) for number in numbers)
    if len(values) != 3 or not all(0 < number < 1 for number in values):
        raise ValueError("mean and std are three numbers between 0 and 1")
    return values


def _config(value: str | None, folder: Path) -> str | Path | None:
    """A path, or the name of a config that open_clip ships."""
    if value is None or not value.endswith((".json", ".safetensors")):
        return value
    return _local(value, folder)


def _local(path: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / Path(path).expanduser()))


def _source(entry: Mapping[str, str], folder: Path) -> Source:
    if not isinstance(entry, dict) or not entry.keys() <= _PLACES:
        raise WeightsError(f"{str(entry)[:60]} is no source: give hub and file, url, or path.")
    checks = {"sha256": entry.get("sha256"), "blob_id": entry.get("blob_id")}
    if "hub" in entry:
        repository, file = entry["hub"], entry["file"]
        # The environment is read when a model is asked for.
        endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
        place = f"{endpoint}/{repository}/resolve/main/{file}"
        return Source(place, hub_file=(repository, file), **checks)
    if "url" in entry:
        return Source(entry["url"], **checks)
    return Source(str(_local(entry["path"], folder)), **checks)
