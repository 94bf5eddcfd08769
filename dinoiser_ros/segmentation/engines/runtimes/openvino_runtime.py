# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import openvino

from dinoiser_ros.segmentation.device import cpu_has_bfloat16

from .runtime import Build, HostRuntime, Runtime


def make(build: Build) -> Runtime:
    """Compile a graph for images of any size.

    Raises:
        Exception: whatever OpenVINO says.
    """
    # What of an int8 graph is not int8, attention's products above all, is in this type as well.
    low = build.precision == "bfloat16" or (build.precision == "int8" and cpu_has_bfloat16())
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if low else "f32",
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
