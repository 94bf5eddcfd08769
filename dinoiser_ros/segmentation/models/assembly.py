# SPDX-License-Identifier: Apache-2.0
"""Making a loaded model ready: its device, its precision, and the embedding of texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import nn

from dinoiser_ros.segmentation.device import has_low_attention, resolve_precision
from dinoiser_ros.segmentation.engines.selection import EngineSelection, EngineWish
from dinoiser_ros.segmentation.methods.inputs import Parts
from dinoiser_ros.segmentation.networks.dinoiser_heads import INTERMEDIATE_LAYER
from dinoiser_ros.segmentation.networks.open_clip_types import cast_tower
from dinoiser_ros.segmentation.text.cache import TextCache
from dinoiser_ros.segmentation.text.encoder import TextEncoder
from dinoiser_ros.segmentation.text.identity import weights_digest
from dinoiser_ros.segmentation.text.mapped_encoder import MappedTextEncoder
from dinoiser_ros.segmentation.text.trained_phrases import TrainedText

from .backbones import backbone_of
from .loading import LoadedModel
from .maskclip_plus_checkpoint import ClosedSet
from .registry import ModelSpec


@dataclass(frozen=True)
class Assembly:
    """All that a segmenter computes with.

    Attributes:
        parts: the networks.
        text: what makes a vocabulary of prompts.
        name: the model's.
        inference_size: shorter side in pixels that the model works best at.
        identity: of what computes features, see `network_identity`.
        engine_problem: why the engine that was asked for is not used; None if it is.
    """

    parts: Parts
    text: TextEncoder | TrainedText
    name: str
    inference_size: int
    identity: str
    engine_problem: str | None = None


def assemble(
    loaded: LoadedModel,
    spec: ModelSpec,
    device: torch.device,
    precision: str,
    text_cache: TextCache | None = None,
    plain: bool = False,
    engine: EngineWish | None = None,
) -> Assembly:
    """Around a CLIP, whose modules are moved and frozen.

    Args:
        loaded: the model.
        spec: its name and inference size.
        precision: see `resolve_precision`.
        text_cache: where text embeddings are kept; None: in memory only.
        plain: see `Backbone`.
        engine: what may compute the backbone; None: PyTorch.

    Raises:
        OptionError: no such precision.
        WeightsError: CLIP's vision tower is not a plain vision transformer.
    """
    clip = loaded.clip.eval().requires_grad_(False).to(device)
    identity = network_identity(clip.visual)
    dtype = resolve_precision(precision, device, clip.visual.conv1.out_channels)
    layer = loaded.heads.intermediate_layer if loaded.heads else INTERMEDIATE_LAYER
    selection = EngineSelection(engine, device, identity) if engine else None
    if selection:
        selection.write_graph(lambda: backbone_of(clip, layer, True, loaded.statistics))
    # The text tower stays in float32: it is not on the frame path.
    low = device.type == "cpu" and dtype == torch.bfloat16
    cast_tower(clip.visual, dtype, exact_stream=low)
    heads = loaded.heads and loaded.heads.to(device)
    backbone = backbone_of(
        clip, layer, plain, loaded.statistics, has_low_attention(precision, device, dtype)
    )
    parts = Parts(
        selection.attached(backbone) if selection else backbone,
        heads.with_embeddings_in(dtype) if heads and low else heads,
        loaded.dino and loaded.dino.to(device, dtype),
        loaded.diffusion and loaded.diffusion.to(device, dtype),
    )
    text: TextEncoder
    if loaded.projection is not None:
        mapping = loaded.projection.to(device)
        text = MappedTextEncoder(clip, loaded.tokenizer, text_cache, loaded.text, mapping)
    else:
        text = TextEncoder(clip, loaded.tokenizer, text_cache, loaded.text)
    problem = selection.problem if selection else None
    return Assembly(parts, text, spec.name, spec.inference_size, identity, problem)


def assemble_closed(
    closed: ClosedSet,
    spec: ModelSpec,
    device: torch.device,
    precision: str,
    engine: EngineWish | None = None,
) -> Assembly:
    """Around a network of "maskclip+" instead; see `assemble`."""
    identity = network_identity(closed.network)
    dtype = resolve_precision(precision, device, width=0)  # no wide network: see there
    network = closed.network.to(device, dtype).to(memory_format=torch.channels_last)
    text = closed.text.to(device)
    parts = Parts(None, network=network)
    problem = EngineSelection(engine, device, identity).problem if engine else None
    return Assembly(parts, text, spec.name, closed.inference_size, identity, problem)


def network_identity(network: nn.Module) -> str:
    """A SHA-256 that tells networks apart before they are cast to another number format.

    It is over the weights that are vectors - biases and scales, a thousandth of all - and over the
    names and shapes of the others: training changes all of them.
    """
    state = network.state_dict()
    vectors = [name for name, tensor in state.items() if tensor.dim() <= 1]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    digest = weights_digest({name: state[name].float() for name in vectors}, vectors)
    return hashlib.sha256(repr((shapes, digest)).encode()).hexdigest()
