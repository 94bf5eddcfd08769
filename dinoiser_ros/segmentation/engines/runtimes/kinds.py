# SPDX-License-Identifier: Apache-2.0
"""The runtimes by name, and what each needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from .runtime import Build, Runtime


@dataclass(frozen=True)
class EngineKind:
    """A runtime.

    Attributes:
        device: kind of device that it computes on, "cpu" or "cuda".
        package: that has to be installed, by the name it is imported by.
        install: what pip is to be told.
        precisions: floating-point types that it computes in, the first one for all others.
        tried: whether `auto` tries it.
        maps: attention maps of a head, in float32, that it holds at once; 0 if it computes
            attention in parts.
    """

    device: str
    package: str
    install: str
    precisions: tuple[str, ...]
    tried: bool = False
    maps: int = 0


# `auto` tries what was measured to be faster than PyTorch on some processor.
_HERE = "'dinoiser_ros[{}]'"
KINDS = {
    "openvino": EngineKind(
        "cpu", "openvino", _HERE.format("openvino"), ("float32", "bfloat16", "int8"), tried=True
    ),
    # Scores and weights; it allocates as much again when it needs room.
    "onnxruntime": EngineKind("cpu", "onnxruntime", _HERE.format("export"), ("float32",), maps=4),
    "tensorrt": EngineKind("cuda", "tensorrt", "tensorrt onnx", ("float32", "float16", "bfloat16")),
}


def missing_package(name: str) -> str | None:
    """The package that a runtime lacks, or that writing its graph lacks; None if it has all."""
    wanted = (KINDS[name].package, "onnx")
    return next((package for package in wanted if find_spec(package) is None), None)


def version_of(name: str) -> str:
    """The version of the runtime's package."""
    try:
        return metadata.version(KINDS[name].package)
    except metadata.PackageNotFoundError:  # it was not installed by pip
        return "unknown"


def make_runtime(name: str, build: Build) -> Runtime:
    """A runtime of a graph; its package is imported now.

    Raises:
        Exception: whatever the runtime says.
    """
    if name == "openvino":
        from .openvino_runtime import make
    elif name == "onnxruntime":
        from .onnxruntime_runtime import make
    else:
        from .tensorrt_runtime import make
    return make(build)
