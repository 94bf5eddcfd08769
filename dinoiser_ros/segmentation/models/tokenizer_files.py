# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a model whose texts CLIP's own does not cut: a file `tokenizer.json`."""

from __future__ import annotations

from pathlib import Path

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel
from dinoiser_ros.segmentation.text.siglip_tokenizer import SiglipTokenizer
from dinoiser_ros.segmentation.weights.download import Progress
from dinoiser_ros.segmentation.weights.sources import find_file

from .specs import ModelSpec

NAME = "tokenizer.json"


def load_tokenizer(
    spec: ModelSpec,
    weights: Path,
    clip: ClipModel,
    offline: bool = False,
    progress: Progress | None = None,
) -> SiglipTokenizer:
    """Find and read the tokenizer: the file beside the weights, else the registered one.

    Raises:
        WeightsError: there is none, or it is another model's.
        OptionError: the package that reads it is not installed.
    """
    path = weights.with_name(NAME)
    if not path.is_file():
        if not spec.tokenizer:
            raise WeightsError(
                f"The model {spec.name} needs its tokenizer: put {NAME} beside {weights}."
            )
        path = find_file(spec.tokenizer, offline, progress)
    tokenizer = SiglipTokenizer(path, clip.context_length)
    if tokenizer.highest_id >= clip.vocab_size:
        raise WeightsError(
            f"{path} has {tokenizer.highest_id + 1} tokens, and this model knows "
            f"{clip.vocab_size}: give the tokenizer that belongs to it."
        )
    return tokenizer
