# SPDX-License-Identifier: Apache-2.0
"""What is timed: a model with seeded random weights, random heads, random texts, random images."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from torch import nn

from dinoiser_ros.segmentation import SegmentationClass, Segmenter
from dinoiser_ros.segmentation.models.loading import LoadedModel, read_config
from dinoiser_ros.segmentation.models.registry import find_model
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone
from dinoiser_ros.segmentation.networks.dinoiser_heads import NAMES, DinoiserHeads, heads_from_state
from dinoiser_ros.segmentation.networks.embedding_network import BACKBONES, EmbeddingNetwork
from dinoiser_ros.segmentation.networks.open_clip_types import stream_type
from dinoiser_ros.segmentation.text.vocabulary import Vocabulary
from dinoiser_ros.training.maskclip_plus.checkpoint_file import save_closed_set

HEAD_CHANNELS = 256  # as the authors' heads have


@dataclass(frozen=True)
class TimedSegmenters:
    """The same weights, computed in several ways.

    Attributes:
        fp32: as the reference.
        fast_fp32: as fast as float32 goes.
        best: as the machine does it best.
        launched: the same without CUDA graphs; None where there are none.
    """

    fp32: Segmenter
    fast_fp32: Segmenter
    best: Segmenter
    launched: Segmenter | None

    def use(self, vocabulary: Vocabulary) -> None:
        """Set the classes of all."""
        for segmenter in (self.fp32, self.fast_fp32, self.best, self.launched):
            if segmenter is not None:
                segmenter.use(vocabulary)


def make_segmenters(model: str, device: str, precision: str, seed: int = 0) -> TimedSegmenters:
    """The segmenters, with the same random weights; no download.

    Args:
        model: as `Segmenter` takes it, of CLIP's shape.
        device, precision: of the best one, as `Segmenter` takes them.
    """
    spec = find_model(model)
    clip, tokenizer, heads = random_parts(model, seed)
    exact = LoadedModel(copy.deepcopy(clip), tokenizer, heads)
    loaded = LoadedModel(clip, tokenizer, heads)
    reference = {"precision": "float32", "plain": True, "cuda_graphs": False}
    best = Segmenter.from_model(loaded, spec, device=device, precision=precision, inference_size=0)
    return TimedSegmenters(
        Segmenter.from_model(exact, spec, device=device, **reference, inference_size=0),
        Segmenter.from_model(exact, spec, device=device, precision="float32", inference_size=0),
        best,
        Segmenter.from_model(
            loaded, spec, device=device, precision=precision, cuda_graphs=False, inference_size=0
        )
        if best.device.type == "cuda"
        else None,
    )


def random_parts(model: str, seed: int = 0) -> tuple[nn.Module, object, DinoiserHeads]:
    """A model's CLIP with random weights, its tokenizer, and heads."""
    torch.manual_seed(seed)
    spec = find_model(model)
    clip = open_clip.CLIP(**read_config(spec.config))  # whose blocks can be called
    width = clip.visual.conv1.out_channels
    tensors = (
        torch.randn(HEAD_CHANNELS, width, 3, 3) * (9 * width) ** -0.5,
        torch.zeros(HEAD_CHANNELS),
        torch.randn(1, width, 1, 1),
        torch.zeros(1),
    )
    heads = heads_from_state(dict(zip(NAMES, tensors, strict=True)))
    return clip, open_clip.tokenizer.SimpleTokenizer(), heads


def closed_segmenter(head: str, vocabulary: Vocabulary, device: str) -> Segmenter:
    """maskclip+ with random weights, on the backbone for small computers."""
    torch.manual_seed(0)
    network = EmbeddingNetwork(head, BACKBONES[0], vocabulary.embeddings.shape[1]).eval()
    with tempfile.TemporaryDirectory(prefix="dinoiser_bench_") as folder:
        path = Path(folder) / "network.safetensors"
        save_closed_set(network, vocabulary, 480, {}, path)
        return Segmenter(path, method="maskclip+", device=device, inference_size=0)


def random_vocabulary(classes: int, dim: int, device: torch.device, seed: int = 0) -> Vocabulary:
    """Classes with random unit embeddings; texts are not what is timed."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(classes, dim, generator=generator), dim=-1).to(device)
    names = ["background", *(f"class {number}" for number in range(1, classes))]
    entries = tuple(SegmentationClass(i, name, (name,)) for i, name in enumerate(names))
    owners = torch.arange(classes, device=device)
    return Vocabulary(tuple(names), entries, embeddings, owners)


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tokens_of(backbone: Backbone, height: int, width: int) -> int:
    """How many tokens an image of this size has."""
    size = backbone.patch_size
    return backbone.prefix + -(-height // size) * -(-width // size)


def bare_blocks(segmenter: Segmenter, height: int, width: int) -> Callable[[], object]:
    """All blocks but the last of open_clip's own module on tokens for an image size: the floor.

    Needs an open_clip whose blocks are batch-first (2.26 or newer).
    """
    backbone = segmenter.backbone
    blocks = backbone.visual.transformer.resblocks[:-1]
    if stream_type(backbone.visual) != backbone.dtype:  # open_clip's own have one type
        blocks = copy.deepcopy(blocks).to(backbone.dtype)
    x = torch.randn(
        1,
        tokens_of(backbone, height, width),
        backbone.width,
        device=segmenter.device,
        dtype=backbone.dtype,
    )

    @torch.inference_mode()
    def run() -> None:
        y = x
        for block in blocks:
            y = block(y)

    return run
