# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openvino

from .runtime import Build, HostRuntime, Runtime

_HINTS = {"bfloat16": "bf16"}  # the CPU has no other than that and float32


def make(build: Build) -> Runtime:
    """Compile a graph for images of any size.

    Raises:
        Exception: whatever OpenVINO says.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS.get(build.precision, "f32"),
        "INFERENCE_NUM_THREADS": build.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(build.graph), "CPU", settings)
    ports = {name: compiled.output(name) for name in build.outputs}
    request = compiled.create_infer_request()

    def compute(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        request.infer(dict(given), share_inputs=True)
        return {name: request.get_tensor(port).data for name, port in ports.items()}

    return HostRuntime(compute)
