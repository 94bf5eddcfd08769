# SPDX-License-Identifier: Apache-2.0
"""Small checkpoints of `maskclip+`: trained for nothing, but whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from dinoiser_ros.segmentation import Vocabulary
from dinoiser_ros.segmentation.networks.embedding_network import EmbeddingNetwork
from dinoiser_ros.segmentation.text.vocabulary import parse_prompts
from dinoiser_ros.training.maskclip_plus.checkpoint_file import save_closed_set

PROMPTS = ("floor: wooden floor, carpet", "person", "traffic cone")
DIM = 16


def vocabulary(prompts: Sequence[str] = PROMPTS, seed: int = 0) -> Vocabulary:
    """Classes with random embeddings that are alike, as CLIP's are."""
    cleaned, classes = parse_prompts(list(prompts))
    owners = [entry.id for entry in classes for _ in entry.phrases]
    generator = torch.Generator().manual_seed(seed)
    rows = F.normalize(1 + 0.05 * torch.randn(len(owners), DIM, generator=generator), dim=1)
    return Vocabulary(cleaned, classes, rows, torch.tensor(owners))


@lru_cache(maxsize=4)
def network(head: str = "lraspp", seed: int = 0) -> EmbeddingNetwork:
    """A network with random weights, in evaluation mode; not to be changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EmbeddingNetwork(head, "mobilenet_v3_large", DIM).eval().requires_grad_(False)


def write_plus(path: Path, prompts: Sequence[str] = PROMPTS, size: int = 64) -> Path:
    """A checkpoint; returns its path."""
    save_closed_set(network(), vocabulary(prompts), size, {"seed": 0}, path)
    return path
