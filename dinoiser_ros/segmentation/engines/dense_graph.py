# SPDX-License-Identifier: Apache-2.0
"""A backbone as a graph: what engines run.

The same traceable backbone as in a file of `dinoiser export`, without the method behind it: prompts
and thresholds are no part of it. The positional embedding is an input, resized for each grid where
it always is: runtimes take seconds to fold it into a graph for every size of image.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, Request

from .onnx_tracing import write_traced
from .runtimes.runtime import Build
from .traceable import traceable

VERSION = 1  # of what `DenseGraph` computes; another number makes kept files worthless
MEANS = "means"
"""Output (B, L * width), see `Backbone.watch`."""

_AXES = {
    "images": {0: "batch", 2: "height", 3: "width"},
    "features": {0: "batch", 2: "rows", 3: "columns"},
    "intermediate": {0: "batch", 1: "tokens"},
    "keys": {0: "batch", 1: "patches"},
    "cls_scores": {0: "batch", 2: "patches"},
    MEANS: {0: "batch"},
}
_PARTS = ("features", "intermediate", "keys", "cls_scores")


def parts_of(request: Request) -> tuple[str, ...]:
    """What a request asks for, as names of attributes of `DenseFeatures`."""
    return tuple(name for name in _PARTS if getattr(request, name))


def outputs_of(request: Request) -> tuple[str, ...]:
    """The outputs of a request's graph."""
    return (*parts_of(request), MEANS)


def is_expressible(request: Request) -> bool:
    """Whether a graph can give what is asked for: attention maps and all layers are too much."""
    return not request.attention and not request.layers and request.positions == "bicubic"


def build_of(
    backbone: Backbone,
    request: Request,
    graph: Path,
    folder: Path,
    precision: str,
    shorter_side: int,
) -> Build:
    """What a runtime needs to run a backbone's graph; see `Build`."""
    return Build(
        graph=graph,
        folder=folder,
        precision=precision,
        outputs=outputs_of(request),
        threads=torch.get_num_threads(),
        positions=tuple(backbone.resized_positions((1, 1)).shape),
        prefix=backbone.prefix,
        patch=backbone.patch_size,
        shorter_side=shorter_side,
    )


class DenseGraph(nn.Module):
    """From images and positions to what was requested, and the means for `Backbone.watch`.

    Args:
        backbone: in float32.
        request: see `is_expressible`.
    """

    def __init__(self, backbone: Backbone, request: Request) -> None:
        super().__init__()
        self._backbone, self._request = traceable(backbone), request
        self._means: list[Tensor] = []
        self._backbone.watch = self._means.append
        # So that the exporter knows the weights as such; they are read through the backbone.
        self.weights = backbone.visual

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """See `Backbone.resized_positions`."""
        return self._backbone.resized_positions(grid)

    def forward(self, images: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
        """Compute.

        Args:
            images: (B, 3, H, W) RGB, float32 in [0, 1], of any size.
            positions: for their grid, see `positions`.
        """
        self._backbone.positions = positions
        self._means.clear()
        dense = self._backbone(images, self._request)
        return (*(getattr(dense, name) for name in parts_of(self._request)), self._means[0])


@torch.inference_mode()
def write_dense_graph(backbone: Backbone, request: Request, path: Path) -> None:
    """Write a backbone as ONNX.

    Args:
        backbone: in float32.
        request: what the file computes; see `is_expressible`.
        path: the file.

    Raises:
        ExportError, OSError: see `write_traced`.
    """
    graph = DenseGraph(backbone, request)
    patch = backbone.patch_size
    example = {
        "images": torch.rand(2, 3, 2 * patch, 3 * patch, device=backbone.device),
        "positions": graph.positions((2, 3)),
    }
    outputs = outputs_of(request)
    axes = {name: _AXES[name] for name in ("images", *outputs)}
    axes["positions"] = {example["positions"].dim() - 2: "places"}
    write_traced(graph, path, example, outputs, axes)
