# SPDX-License-Identifier: Apache-2.0
"""Runtimes of engines that are none: PyTorch itself, with what a test wants to go wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dinoiser_ros.segmentation.engines.dense_graph import DenseGraph, outputs_of
from dinoiser_ros.segmentation.engines.runtimes.runtime import Build, Runtime
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, Request


class TorchRuntime:
    """Runs the graph of a backbone with PyTorch.

    Args:
        before: called with the images, may raise.
        change: of every output.
    """

    def __init__(self, backbone: Backbone, request: Request = Request()) -> None:  # noqa: B008
        self._graph, self._outputs = DenseGraph(backbone, request), outputs_of(request)
        self.before: Callable[[Tensor], object] = lambda images: None
        self.change: Callable[[Tensor], Tensor] = lambda output: output
        self.calls = 0

    @torch.inference_mode()
    def __call__(self, images: Tensor, positions: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        self.before(images)
        found = self._graph(images, positions)
        return {name: self.change(x) for name, x in zip(self._outputs, found, strict=True)}


def making(runtime: Callable[[Build], Runtime]) -> Callable[[str, Build], Runtime]:
    """What takes the place of `make_runtime`."""
    return lambda name, build: runtime(build)
