# SPDX-License-Identifier: Apache-2.0
"""TensorRT on a CUDA GPU. Written to the documentation of TensorRT 10, and not run with it yet.

The tests run it with a module that records what it is asked for.
"""

from __future__ import annotations

import threading
from math import ceil
from pathlib import Path
from typing import Any

import tensorrt
import torch
from torch import Tensor

from dinoiser_ros.utils.atomic_files import atomic_write

from .runtime import Build, FrameNotServedError, Runtime

_WORKSPACE = 2 << 30  # bytes that a kernel may use while it runs
_MOST = 4  # images of a batch
_LONGER = 2  # sides of an image over the model's own size: enough for 16 to 9

Shape = tuple[int, ...]


def profile_shapes(build: Build) -> dict[str, tuple[Shape, Shape, Shape]]:
    """The least, usual and largest shape of each input that kernels are chosen for.

    From one patch to `_MOST` images of `_LONGER` times the model's own size either way; an
    image of 4 to 3 at this size is the usual one.
    """
    short, patch = build.shorter_side, build.patch
    longest = _LONGER * short
    images = ((1, 3, patch, patch), (1, 3, short, short * 4 // 3), (_MOST, 3, longest, longest))
    places = (build.prefix + ceil(h / patch) * ceil(w / patch) for _, _, h, w in images)
    *before, _, after = build.positions
    least, usual, most = ((*before, count, after) for count in places)
    return {"images": images, "positions": (least, usual, most)}


def make(build: Build) -> Runtime:
    """Build an engine, which takes minutes, or read the one that was built before.

    Raises:
        RuntimeError: TensorRT cannot read the graph, or build it.
    """
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    place = build.folder / _file_name(build)
    plan = _read(place)
    if plan is None:
        plan = _built(build, logger)
        with atomic_write(place) as file:
            file.write_bytes(plan)
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        place.unlink(missing_ok=True)
        raise RuntimeError("TensorRT cannot load the engine that it built")
    return TensorRtRuntime(engine, profile_shapes(build), build.outputs)


def _file_name(build: Build) -> str:
    """An engine is good for one GPU, one version and one precision."""
    gpu = "".join(c if c.isalnum() else "-" for c in torch.cuda.get_device_name())
    return f"{build.graph.stem}-{tensorrt.__version__}-{gpu}-{build.precision}.plan"


def _read(place: Path) -> bytes | None:
    try:
        return place.read_bytes()
    except OSError:
        return None


def _built(build: Build, logger: Any) -> bytes:
    """The engine of a graph, serialised."""
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(build.graph)):
        reasons = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise RuntimeError(f"TensorRT cannot read the graph ({'; '.join(reasons)[:200]})")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    flags = {"float16": tensorrt.BuilderFlag.FP16, "bfloat16": tensorrt.BuilderFlag.BF16}
    if build.precision in flags:
        config.set_flag(flags[build.precision])
    profile = builder.create_optimization_profile()
    for name, shapes in profile_shapes(build).items():
        profile.set_shape(name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError("TensorRT cannot build an engine of the graph")
    return bytes(plan)


class TensorRtRuntime:
    """Runs an engine on PyTorch's current stream; one call at a time.

    Args:
        engine: deserialised.
        shapes: see `profile_shapes`.
        outputs: their names.
    """

    def __init__(
        self,
        engine: Any,
        shapes: dict[str, tuple[Shape, Shape, Shape]],
        outputs: tuple[str, ...],
    ) -> None:
        self._shapes, self._engine = shapes, engine  # a context does not keep its engine
        self._context = engine.create_execution_context()
        self._lock = threading.Lock()
        self._outputs = outputs

    def __call__(self, images: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """See `Runtime`."""
        inputs = {"images": images.contiguous(), "positions": positions.contiguous()}
        for name, tensor in inputs.items():
            self._check(name, tuple(tensor.shape))
        with self._lock:
            for name, tensor in inputs.items():
                self._context.set_input_shape(name, tuple(tensor.shape))
                self._context.set_tensor_address(name, tensor.data_ptr())
            found = {}
            for name in self._outputs:
                shape = tuple(self._context.get_tensor_shape(name))
                found[name] = torch.empty(shape, device=images.device)
                self._context.set_tensor_address(name, found[name].data_ptr())
            if not self._context.execute_async_v3(_stream(images.device)):
                raise RuntimeError("TensorRT could not run the engine")
        return found

    def _check(self, name: str, shape: Shape) -> None:
        least, _, most = self._shapes[name]
        if any(not low <= n <= high for low, n, high in zip(least, shape, most, strict=True)):
            raise FrameNotServedError(
                f"the TensorRT engine was built for {name} up to {most}, not {shape}"
            )


def _stream(device: torch.device) -> int:
    """The handle of the stream that PyTorch works on."""
    return int(torch.cuda.current_stream(device).cuda_stream)
