# SPDX-License-Identifier: Apache-2.0
"""What TensorRT is asked for, by a module that takes its place: there is no GPU here."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dinoiser_ros.segmentation.engines.runtimes.runtime import Build, FrameNotServedError

MODULE = "dinoiser_ros.segmentation.engines.runtimes.tensorrt_runtime"
STREAM = 42


class Notes:
    """Notes every call of a method with its arguments; what it answers is given by name."""

    def __init__(self, name: str, calls: list, **answers: Any) -> None:
        self._name, self._calls, self._answers = name, calls, answers

    def __getattr__(self, method: str) -> Any:
        def call(*given: Any) -> Any:
            self._calls.append((f"{self._name}.{method}", *given))
            answer = self._answers.get(method)
            return answer(*given) if callable(answer) else answer

        return call


class FakeTensorRt:
    """The parts of TensorRT 10 that are used."""

    __version__ = "10.9"
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(FP16="fp16", BF16="bf16")

    def __init__(self) -> None:
        self.calls: list = []
        self.parses, self.builds, self.loads, self.runs = True, b"plan", True, True
        shapes = {"features": (1, 8, 3, 4), "means": (1, 16)}
        self.context = Notes(
            "context", self.calls,
            get_tensor_shape=shapes.__getitem__, execute_async_v3=lambda stream: self.runs,
        )  # fmt: skip

    class Logger:
        ERROR = 2

        def __init__(self, level: int) -> None:
            assert level == self.ERROR

    def Builder(self, logger: object) -> Notes:
        return Notes(
            "builder", self.calls,
            create_network="network",
            create_builder_config=Notes("config", self.calls),
            create_optimization_profile=Notes("profile", self.calls),
            build_serialized_network=lambda *_: self.builds,
        )  # fmt: skip

    def OnnxParser(self, network: object, logger: object) -> Any:
        assert network == "network"
        return SimpleNamespace(
            parse_from_file=lambda path: self.parses,
            num_errors=1,
            get_error=lambda number: "no such operator",
        )

    def Runtime(self, logger: object) -> Notes:
        engine = Notes("engine", self.calls, create_execution_context=lambda: self.context)
        return Notes("runtime", self.calls, deserialize_cuda_engine=engine if self.loads else None)

    def named(self, name: str) -> list[tuple]:
        return [given for call, *given in self.calls if call == name]


@pytest.fixture
def tensorrt(monkeypatch) -> FakeTensorRt:
    fake = FakeTensorRt()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    fake.module = importlib.import_module(MODULE)
    monkeypatch.setattr(fake.module, "_stream", lambda device: STREAM)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Orin NX/16")
    yield fake
    sys.modules.pop(MODULE, None)


@pytest.fixture
def build(tmp_path) -> Build:
    return Build(
        graph=tmp_path / "graph.onnx", folder=tmp_path, precision="float16",
        outputs=("features", "means"), threads=1, positions=(2, 16),
        prefix=1, patch=16, shorter_side=48,
    )  # fmt: skip


def test_an_engine_is_built_with_flags_and_profiles_and_kept(tensorrt, build):
    tensorrt.module.make(build)
    assert tensorrt.named("config.set_flag") == [["fp16"]]
    assert tensorrt.named("config.set_memory_pool_limit") == [["workspace", 2 << 30]]
    assert tensorrt.named("profile.set_shape") == [
        ["images", (1, 3, 16, 16), (1, 3, 48, 64), (4, 3, 96, 96)],
        ["positions", (2, 16), (13, 16), (37, 16)],
    ]
    assert len(tensorrt.named("config.add_optimization_profile")) == 1
    (kept,) = build.folder.iterdir()
    assert kept.name == "graph-10.9-Orin-NX-16-float16.plan"
    assert kept.read_bytes() == b"plan"
    tensorrt.module.make(build)
    assert len(tensorrt.named("builder.build_serialized_network")) == 1, "read the second time"
    tensorrt.module.make(replace(build, precision="float32"))
    assert tensorrt.named("config.set_flag") == [["fp16"]]


@pytest.mark.parametrize(
    ("fault", "value", "reason"),
    [
        ("parses", False, "cannot read the graph .no such operator"),
        ("builds", None, "cannot build an engine"),
        ("loads", False, "cannot load the engine"),
    ],
)
def test_what_fails_while_it_is_built_is_said(tensorrt, build, fault, value, reason):
    setattr(tensorrt, fault, value)
    with pytest.raises(RuntimeError, match=reason):
        tensorrt.module.make(build)
    assert not list(Path(build.folder).iterdir())


def test_a_frame_gets_shapes_addresses_and_the_stream(tensorrt, build):
    made = tensorrt.module.make(build)
    images, positions = torch.rand(1, 3, 48, 64), torch.rand(13, 16)
    found = made(images, positions)
    assert {name: tuple(x.shape) for name, x in found.items()} == {
        "features": (1, 8, 3, 4), "means": (1, 16),
    }  # fmt: skip
    assert tensorrt.named("context.set_input_shape") == [
        ["images", (1, 3, 48, 64)],
        ["positions", (13, 16)],
    ]
    assert tensorrt.named("context.set_tensor_address") == [
        ["images", images.data_ptr()],
        ["positions", positions.data_ptr()],
        *([name, x.data_ptr()] for name, x in found.items()),
    ]
    assert tensorrt.named("context.execute_async_v3") == [[STREAM]]
    tensorrt.runs = False
    with pytest.raises(RuntimeError, match="could not run"):
        made(images, positions)


def test_a_frame_that_no_profile_covers_is_left_to_pytorch(tensorrt, build):
    made = tensorrt.module.make(build)
    with pytest.raises(FrameNotServedError, match="built for images up to .*96, 96"):
        made(torch.rand(1, 3, 48, 112), torch.rand(22, 16))
