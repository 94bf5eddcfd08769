# SPDX-License-Identifier: Apache-2.0
"""Writing a graph as ONNX, with what its user has to know in the file's metadata."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.engines.onnx_tracing import write_traced
from dinoiser_ros.segmentation.networks.clip_backbone import MEAN, STD
from dinoiser_ros.segmentation.text.mapped_encoder import MappedTextEncoder
from dinoiser_ros.segmentation.text.templates import TEMPLATES

from .graph import Graph

# What the axes are called in the file; those of one name have one length.
_AXES = {
    "images": {0: "batch", 2: "height", 3: "width"},
    "texts": {0: "classes", 1: "phrases"},
    "background": {0: "classes"},
    "probabilities": {0: "batch", 1: "classes", 2: "rows", 3: "columns"},
    "labels": {0: "batch", 1: "height", 2: "width"},
    "confidence": {0: "batch", 1: "height", 2: "width"},
}
_AVERAGED = "the mean over the templates of the normalised text embeddings, normalised"
_MAPPED = "the mean over the templates of CLIP's text embeddings, mapped, normalised"
_OF_IMAGE = ("height", "width", "rows", "columns")


def write_onnx(
    graph: Graph,
    path: Path,
    *,
    opset: int,
    size: tuple[int, int] | None = None,
    uint8: bool = False,
) -> None:
    """Write a graph, see `write_traced`.

    Args:
        graph: what to write.
        path: the file.
        opset: version of ONNX's operators.
        size: height and width of the images; None leaves them open.
        uint8: whether images are bytes rather than floats in [0, 1].

    Raises:
        ExportError: PyTorch cannot write it.
    """
    # Not a square: a positional embedding of that size would not be resized, and never again.
    images = torch.rand(2, 3, *(size or (2 * graph.cell, 3 * graph.cell)))
    texts = torch.nn.functional.normalize(torch.randn(3, 2, graph.dim), dim=-1)
    example = {
        "images": (images * 255).to(torch.uint8) if uint8 else images,
        "texts": texts,
        "background": torch.tensor([1.0, 0.0, 0.0]),
    }
    fixed = () if size is None else _OF_IMAGE
    names = (*graph.inputs, *graph.outputs)
    axes = {n: {i: a for i, a in _AXES[n].items() if a not in fixed} for n in names}
    inputs = {name: example[name] for name in graph.inputs}
    write_traced(graph, path, inputs, graph.outputs, axes, opset)


def describe(path: Path, segmenter: Segmenter, graph: Graph) -> dict[str, str]:
    """Put into a file's metadata how it is to be used; returns what was put there."""
    options = graph.options
    backbone = segmenter.backbone
    mean, std = backbone.statistics if backbone else (MEAN, STD)
    talk2dino = segmenter.parts.talk2dino is not None
    templates = MappedTextEncoder.templates if talk2dino else TEMPLATES
    entries = {
        "model": segmenter.model_name,
        "method": segmenter.options.method,
        **({"patch_size": graph.cell} if graph.method.on_patches else {}),
        "inference_size": segmenter.default_inference_size,
        "embedding_dim": graph.dim,
        "images": "(batch, 3, height, width) RGB, uint8, or float32 in [0, 1]; padding and "
        "normalisation are part of the graph",
        "texts": "(classes, phrases, embedding_dim) unit vectors: "
        + (_MAPPED if talk2dino else _AVERAGED),
        "templates": [template("{}") for template in templates],
        "mean": mean,
        "std": std,
        "gamma": options.gamma,
        "delta": options.delta,
        "ks_threshold": options.ks_threshold,
        "pd_threshold": options.pd_threshold,
        "filters_background": graph.filters,
        "background_uncertainty": options.background_uncertainty,
    }
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in entries.items()
    }
    model = onnx.load(str(path))
    model.doc_string = "Open-vocabulary segmentation, written by dinoiser_ros."
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return metadata
