# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from .runtime import Build, HostRuntime, Runtime

_ERRORS = 3  # the least severe messages that are printed


def make(build: Build) -> Runtime:
    """Load a graph for images of any size.

    Raises:
        Exception: whatever ONNX Runtime says.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = build.threads
    options.log_severity_level = _ERRORS
    session = onnxruntime.InferenceSession(
        str(build.graph), options, providers=["CPUExecutionProvider"]
    )
    names = list(build.outputs)

    def compute(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(given)), strict=True))

    return HostRuntime(compute)
