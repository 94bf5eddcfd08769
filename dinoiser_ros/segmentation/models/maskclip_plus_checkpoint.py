# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of `maskclip+`: one safetensors file that holds all that inference needs.

Tensors: `text` (P, d), the unit embedding of each phrase, and `network.<name>`. The header's
metadata: see `read_closed_set`, which is its only reader.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoiser_ros.errors import PromptError, WeightsError
from dinoiser_ros.option_schema import FRAME_OPTIONS
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.text.trained_phrases import TrainedText
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary, parse_prompts
from dinoiser_ros.segmentation.weights.checkpoint import load_into, read_checkpoint
from dinoiser_ros.segmentation.weights.tensor_checks import check_values
from dinoiser_ros.utils.option import by_name

FORMAT, VERSION = "dinoiser_ros maskclip+", 1
_LARGEST = 1e6  # of a mean or deviation of pixels in [0, 1], far beyond any; NaN is not below it
_INFERENCE_SIZE = by_name(FRAME_OPTIONS)["inference_size"]
TEXT, NETWORK = "text", "network."  # names of tensors


@dataclass(frozen=True)
class ClosedSet:
    """A trained network and the classes that it knows.

    Attributes:
        network: in evaluation mode, frozen, float32.
        text: the trained phrases.
        inference_size: shorter side in pixels that it was trained at.
        training: what it was trained with, for people.
    """

    network: EmbeddingNetwork
    text: TrainedText
    inference_size: int
    training: dict[str, Any]


def read_closed_set(path: Path) -> ClosedSet:
    """Read a checkpoint; nothing in it is executed.

    Metadata, JSON texts: `format`, `version`, `prompts` (a list, as in `parse_prompts`), `head` and
    `backbone` (see `EmbeddingNetwork`), `mean` and `std`, `inference_size`, `training`.

    Raises:
        WeightsError: no such checkpoint, or a part of it is missing, too much or does not fit.
    """
    stored, metadata = read_checkpoint(path)
    state = dict(stored)
    values = _metadata(metadata, path)
    text = state.pop(TEXT, None)
    if text is None or text.dim() != 2 or not text.is_floating_point():
        raise WeightsError(f"{path} lacks the text embeddings of its classes: train it again.")
    text = text.float()
    check_values(TEXT, text, str(path))
    if not text.any(dim=1).all():
        raise WeightsError(f"{path} has a text embedding of zeros only: train it again.")
    vocabulary = _vocabulary(values["prompts"], text, path)
    network = EmbeddingNetwork(
        values["head"], values["backbone"], text.shape[1], values["mean"], values["std"]
    )
    strangers = sorted(name for name in state if not name.startswith(NETWORK))
    if strangers:
        raise WeightsError(f"{path} holds {strangers[0]}, which no checkpoint of maskclip+ has.")
    load_into(network, {n.removeprefix(NETWORK): t for n, t in state.items()}, str(path))
    network.eval().requires_grad_(False)
    return ClosedSet(network, TrainedText(vocabulary), values["inference_size"], values["training"])


def _metadata(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """The header's values, checked.

    Raises:
        WeightsError: another format or version, or a value is missing or of another kind.
    """
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is no checkpoint of maskclip+: give one that `dinoiser train-maskclip-plus` "
            "wrote."
        )
    if metadata.get("version") != str(VERSION):
        raise WeightsError(
            f"{path} has version {metadata.get('version')} of its format, this program reads "
            f"{VERSION}: update it, or train the checkpoint again."
        )
    kinds = {"prompts": list, "mean": list, "std": list, "inference_size": int, "training": dict}
    values: dict[str, Any] = {name: metadata.get(name) for name in ("head", "backbone")}
    for name, kind in kinds.items():
        try:
            values[name] = json.loads(metadata.get(name, ""))
        except Exception:  # json's, RecursionError among them: it is not readable, whatever it is
            values[name] = None
        if not isinstance(values[name], kind):
            raise WeightsError(f"{path} has no readable {name} in its header: train it again.")
    if fault := _INFERENCE_SIZE.fault(values["inference_size"]):
        raise WeightsError(f"{path} has a wrong header ({fault}): train it again.")
    if not _are_three_numbers(values["mean"]) or not (
        _are_three_numbers(values["std"]) and min(values["std"]) > 0
    ):
        raise WeightsError(f"{path} has no readable mean and std in its header: train it again.")
    return values


def _are_three_numbers(values: list[Any]) -> bool:
    return len(values) == 3 and all(
        type(value) in (int, float) and abs(value) < _LARGEST for value in values
    )


def _vocabulary(prompts: list[Any], text: Tensor, path: Path) -> Vocabulary:
    """The trained classes in their order.

    Raises:
        WeightsError: the prompts cannot be, or are not those of the embeddings.
    """
    try:
        cleaned, classes = parse_prompts(prompts)
    except PromptError as error:
        raise WeightsError(f"{path} has bad prompts ({error}): train it again.") from None
    owners = torch.tensor([entry.id for entry in classes for _ in entry.phrases])
    if len(owners) != len(text):
        raise WeightsError(
            f"{path} has {len(text)} text embeddings for {len(owners)} phrases: train it again."
        )
    return Vocabulary(cleaned, classes, F.normalize(text, dim=-1), owners)
