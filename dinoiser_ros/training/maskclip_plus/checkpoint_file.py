# SPDX-License-Identifier: Apache-2.0
"""Writing checkpoints of `maskclip+`; `segmentation.models.maskclip_plus_checkpoint` reads them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from dinoiser_ros.segmentation import SegmentationClass, Vocabulary
from dinoiser_ros.segmentation.models.maskclip_plus_checkpoint import FORMAT, NETWORK, TEXT, VERSION
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.utils.atomic_files import atomic_write


def save_closed_set(
    network: EmbeddingNetwork,
    vocabulary: Vocabulary,
    inference_size: int,
    training: dict[str, object],
    path: Path,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint, as a whole or not at all; the fields are those of `read_closed_set`.

    Args:
        training: what it was trained with, as JSON can write it.
        dtype: number format of the convolutions; what is small stays as it is.
    """
    tensors = {NETWORK + name: value for name, value in network.state_dict().items()}
    tensors = {n: v.to(dtype) if v.dim() == 4 else v for n, v in tensors.items()}
    tensors[TEXT] = vocabulary.embeddings
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "prompts": json.dumps([_prompt(entry) for entry in vocabulary.classes]),
        "head": network.head,
        "backbone": network.backbone_name,
        "mean": json.dumps(network.mean),
        "std": json.dumps(network.std),
        "inference_size": json.dumps(inference_size),
        "training": json.dumps(training),
    }
    # A plain layout in memory: networks are trained with their channels last.
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_write(path) as part:
        save_file(stored, part, metadata=metadata)


def _prompt(entry: SegmentationClass) -> str:
    """The prompt that gives a class."""
    if entry.phrases == (entry.name,):
        return entry.name
    return f"{entry.name}: {', '.join(entry.phrases)}"
