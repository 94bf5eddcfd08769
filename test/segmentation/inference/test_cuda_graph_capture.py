# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: on a GPU where there is one, and the calls that make them where there is none."""

from __future__ import annotations

import contextlib
import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from golden_data import GOLDEN_MODEL, GOLDEN_PROMPTS

from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference import cuda_graph_capture as cuda_graphs
from dinoiser_ros.segmentation.inference.cuda_graph_capture import capture_cuda_graph

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
METHODS = ["dinoiser", "dinoiser-keys", "maskclip", "maskclip-ks-pd", "cliper"]


def pictures() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [
        np.kron(generator.integers(0, 256, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        for _ in range(5)
    ]


def make(device: str, precision: str, **options: Any) -> Segmenter:
    segmenter = Segmenter(
        **GOLDEN_MODEL, inference_size=0, device=device, precision=precision, **options
    )
    segmenter.set_prompts(GOLDEN_PROMPTS)
    return segmenter


@needs_gpu
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_the_labels_of_a_cpu(method: str) -> None:
    exact, half = make("cpu", "float32", method=method), make("cuda", "auto", method=method)
    assert half.precision == "float16"
    for picture in pictures():
        expected, found = exact.segment(picture), half.segment(picture)
        assert (found.labels == expected.labels).mean() >= 0.98
        assert np.abs(found.confidence - expected.confidence).mean() < 0.02
    assert half.cuda_graphs_problem is None


@needs_gpu
def test_graphs_on_a_gpu_give_what_launches_do() -> None:
    graphs, launched = make("cuda", "auto"), make("cuda", "auto", cuda_graphs=False)
    for prompts in (GOLDEN_PROMPTS, ["background", "floor"]):
        for segmenter in (graphs, launched):
            segmenter.set_prompts(prompts)
        for picture in pictures():
            one, other = graphs.segment(picture), launched.segment(picture)
            assert (one.labels == other.labels).mean() >= 0.99
            assert np.abs(one.confidence - other.confidence).mean() < 0.01
    assert graphs.cuda_graphs_problem is None


def test_a_graph_is_captured_after_a_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls, in their order; that PyTorch takes their arguments is asked of itself."""
    calls: list[str] = []
    takes = inspect.signature(torch.cuda.graph.__init__)

    @contextlib.contextmanager
    def entered(name: str):
        calls.append(f"{name} {{")
        yield
        calls.append("}")

    def graph(*arguments: Any, **keywords: Any):
        takes.bind(None, *arguments, **keywords)
        return entered("graph")

    def stream(name: str) -> SimpleNamespace:
        return SimpleNamespace(wait_stream=lambda other: calls.append(f"{name} waits"))

    def compute(pixels: torch.Tensor) -> torch.Tensor:
        calls.append("compute")
        return pixels + 1

    replay = object()
    for name, stand_in in {
        "device": lambda device: contextlib.nullcontext(),
        "Stream": lambda: stream("side"),
        "current_stream": lambda: stream("current"),
        "stream": lambda side: entered("stream"),
        "CUDAGraph": lambda: SimpleNamespace(replay=replay),
        "graph": graph,
    }.items():
        assert hasattr(torch.cuda, name)
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(cuda_graphs, "_streams", {})
    pixels = torch.zeros(3)
    replayed, packed = capture_cuda_graph(compute, pixels)
    assert replayed is replay and torch.equal(packed, torch.ones(3))
    first, calls[:] = calls[:], []
    capture_cuda_graph(compute, pixels)
    assert len(cuda_graphs._streams) == 1
    assert first == calls == [
        "side waits", "stream {", "compute", "}", "current waits", "graph {", "compute", "}",
    ]  # fmt: skip
