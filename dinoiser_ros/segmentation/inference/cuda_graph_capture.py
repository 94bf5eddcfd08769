# SPDX-License-Identifier: Apache-2.0
"""Capture of CUDA graphs; `cuda_graph_cache` says what they are for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# One for each device, as cuBLAS keeps working memory for every stream that it was ever used on.
_streams: dict[torch.device, torch.cuda.Stream] = {}


def capture_cuda_graph(
    compute: Callable[[Tensor], Tensor], pixels: Tensor
) -> tuple[Callable[[], None], Tensor]:
    """Capture what a function does to a tensor on a GPU (docs.pytorch.org, "CUDA Graphs").

    Args:
        compute: neither waits for the GPU nor copies from the host. It is called twice.
        pixels: what the graph will read.

    Returns:
        What launches the graph on the current stream, and the tensor that it writes.

    Raises:
        RuntimeError: it cannot be captured.
    """
    with torch.cuda.device(pixels.device):
        if pixels.device not in _streams:
            _streams[pixels.device] = torch.cuda.Stream()
        stream = _streams[pixels.device]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            compute(pixels)  # libraries choose their kernels and working memory at the first call
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on to use the GPU, to embed prompts for example.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            packed = compute(pixels)
    return graph.replay, packed
