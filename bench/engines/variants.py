# SPDX-License-Identifier: Apache-2.0
"""The same weights, computed by PyTorch and by every engine that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from engine.segmenters import random_parts

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.device import cpu_has_bfloat16
from dinoiser_ros.segmentation.engines.quantisation import Quantisation
from dinoiser_ros.segmentation.engines.runtimes.kinds import KINDS, missing_package
from dinoiser_ros.segmentation.engines.selection import EngineWish
from dinoiser_ros.segmentation.engines.store import EngineStore
from dinoiser_ros.segmentation.methods.registry import METHODS
from dinoiser_ros.segmentation.models.assembly import network_identity
from dinoiser_ros.segmentation.models.loading import LoadedModel, load_model
from dinoiser_ros.segmentation.models.registry import find_model

REFERENCE = "torch float32"
METHOD = "dinoiser"


def loaded_model(name: str) -> LoadedModel:
    """A model that is here, or one with seeded random weights."""
    spec = find_model(name)
    if name == "demo":
        return load_model(spec, offline=True)
    clip, tokenizer, heads = random_parts(name)
    return LoadedModel(clip, tokenizer, heads)


def wanted() -> Iterator[tuple[str, str]]:
    """Engine and precision of everything that can be compared here, `REFERENCE` first."""
    yield "torch", "float32"
    if cpu_has_bfloat16():
        yield "torch", "bfloat16"
    for name, kind in KINDS.items():
        if kind.device != "cpu":
            continue
        if missing_package(name):
            print(f"{name} is left out: run pip install {kind.install}")
            continue
        for precision in kind.precisions:
            if precision != "bfloat16" or cpu_has_bfloat16():
                yield name, precision


def make_variants(
    name: str, folder: Path, pictures: list[np.ndarray], size: int
) -> dict[str, Segmenter]:
    """Segmenters by engine and precision; what cannot be made is said and left out.

    Args:
        name: of the model.
        folder: for graphs.
        pictures: that int8 is made with.
        size: their shorter side when it is made.
    """
    spec, store = find_model(name), EngineStore(folder)
    found: dict[str, Segmenter] = {}
    for engine, precision in wanted():
        wish = EngineWish(engine, precision, METHODS[METHOD].request, spec.inference_size, store)
        if precision == "int8":
            try:
                _quantise(found[REFERENCE], store, pictures, size)
            except Exception as error:
                print(f"{engine} int8 is left out: {error}")
                continue
        segmenter = Segmenter.from_model(
            loaded_model(name), spec,
            precision=precision, engine=wish, inference_size=0, method=METHOD,
        )  # fmt: skip
        if segmenter.engine != engine:
            print(f"{engine} {precision} is left out: {segmenter.engine_problem}")
            continue
        found[f"{engine} {precision}"] = segmenter
    return found


def _quantise(
    segmenter: Segmenter, store: EngineStore, pictures: list[np.ndarray], size: int
) -> None:
    backbone, request = segmenter.backbone, METHODS[METHOD].request
    identity = network_identity(backbone.visual)
    work = Quantisation(backbone, request, identity, size, store)
    folder = store.folder / "int8"
    folder.mkdir(exist_ok=True)
    path = work.save(work.quantised(pictures), folder)
    work.keep(folder, work.engine(path))
