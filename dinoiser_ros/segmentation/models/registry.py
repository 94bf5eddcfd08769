# SPDX-License-Identifier: Apache-2.0
"""The models by name: where their files come from and what they work best with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.weights.sources import Source

DATA_FOLDER = Path(__file__).parent / "data"
"""The files of the embedded models."""

_HUB = "https://huggingface.co"
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # newer, older


@dataclass(frozen=True)
class ModelSpec:
    """What a model name stands for.

    Attributes:
        name: as shown to people.
        config: path of an OpenCLIP config JSON, or the name of a config that open_clip ships; None
            for a checkpoint of maskclip+, which holds no CLIP.
        weights, heads, dino: sources to try in order; none where the caller must give them.
        inference_size: shorter side in pixels that the model works best at.
        dino_config: path of the OpenCLIP config of `dino`; None if its weights are DINO's own.
        network: a checkpoint of maskclip+; its inference size is in it.
        familiarity: for a model that knows one world only, how images of others are told, see
            `inference.familiarity`.
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


def _hub(repository: str, file: str) -> Source:
    endpoint = os.environ.get("HF_ENDPOINT", _HUB).rstrip("/")
    return Source(f"{endpoint}/{repository}/resolve/main/{file}", hub_file=(repository, file))


def _vit_b_16() -> ModelSpec:
    """The paper's model: OpenCLIP ViT-B/16 laion2b_s34b_b88k with the authors' heads."""
    repository = "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    heads = Source(
        "https://raw.githubusercontent.com/wysoczanska/clip_dinoiser/main/checkpoints/last.pt",
        blob_id="0b6c94d9c439ebac7bcb07fe805be3654ea03c7f",
    )
    weights = tuple(_hub(repository, file) for file in _HUB_FILES)
    return ModelSpec("vit-b-16", "ViT-B-16", weights, (heads,), inference_size=448)


def _vit_b_16_openai() -> ModelSpec:
    """CLIPer's model: OpenAI's ViT-B/16, whose activation is QuickGELU; it has no heads."""
    repository = "timm/vit_base_patch16_clip_224.openai"
    weights = tuple(_hub(repository, file) for file in _HUB_FILES)
    return ModelSpec("vit-b-16-openai", "ViT-B-16-quickgelu", weights, inference_size=336)


def _demo() -> ModelSpec:
    """The embedded model: it knows the simulated world of `dinoiser_ros.sim` and nothing else."""
    weights, heads, dino = (
        Source(str(DATA_FOLDER / f"{name}.safetensors"))
        for name in ("demo", "demo_heads", "demo_dino")
    )
    return ModelSpec(
        "demo", DATA_FOLDER / "demo.json", (weights,), (heads,),
        inference_size=192, dino=(dino,), dino_config=DATA_FOLDER / "demo_dino.json",
        familiarity=DATA_FOLDER / "demo_familiarity.safetensors",
    )  # fmt: skip


def _demo_maskclip_plus() -> ModelSpec:
    """What `maskclip+` made of "demo": the simulated world's 18 classes."""
    source = Source(str(DATA_FOLDER / "demo_maskclip_plus.safetensors"))
    familiarity = DATA_FOLDER / "demo_maskclip_plus_familiarity.safetensors"
    return ModelSpec("demo-maskclip+", None, network=(source,), familiarity=familiarity)


# Functions, so that the environment is read when a model is asked for.
MODELS: dict[str, Callable[[], ModelSpec]] = {
    "vit-b-16": _vit_b_16,
    "vit-b-16-openai": _vit_b_16_openai,
    "demo": _demo,
    "demo-maskclip+": _demo_maskclip_plus,
}


def find_model(model: str | os.PathLike[str]) -> ModelSpec:
    """Resolve a registered name, or the path of an OpenCLIP config or a checkpoint of maskclip+.

    Raises:
        WeightsError: neither.
    """
    name = os.fspath(model)
    if name in MODELS:
        return MODELS[name]()
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".safetensors":
        return ModelSpec(path.stem, None, network=(Source(str(path)),))
    if path.is_file():
        return ModelSpec(path.stem, path)
    raise WeightsError(
        f"There is no model {name!r}: use {' or '.join(map(repr, MODELS))}, or the path of an "
        "OpenCLIP config (.json) or of a checkpoint of maskclip+ (.safetensors)."
    )
