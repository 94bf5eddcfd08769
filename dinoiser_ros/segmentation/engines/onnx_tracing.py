# SPDX-License-Identifier: Apache-2.0
"""Writing a module of tensors as ONNX."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dinoiser_ros.errors import ExportError
from dinoiser_ros.utils.sentences import first_line

OPSET = 17  # the first with LayerNormalization, which TensorRT reads from 8.6 on


def write_traced(
    module: nn.Module,
    path: Path,
    example: Mapping[str, Tensor],
    outputs: tuple[str, ...],
    axes: Mapping[str, Mapping[int, str]],
    opset: int = OPSET,
) -> None:
    """Write a module.

    PyTorch's older exporter is used, which traces: it is there in every PyTorch from 2.1 on, while
    the newer one takes other arguments and gives other graphs in each version, and needs
    onnxscript.

    Args:
        module: from the example's tensors, in their order, to the outputs.
        path: the file.
        example: an input for each name.
        outputs: their names.
        axes: what the axes of open length are called, by name and number.
        opset: version of ONNX's operators.

    Raises:
        ExportError: PyTorch cannot write it.
        OSError: the file cannot be written.
    """
    older: dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        older["dynamo"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing keeps constants, which is wanted
            torch.onnx.export(
                module.eval(), tuple(example.values()), str(path),
                input_names=list(example), output_names=list(outputs),
                dynamic_axes={name: dict(open_axes) for name, open_axes in axes.items()},
                opset_version=opset, **older,
            )  # fmt: skip
    except OSError:
        raise
    except Exception as error:  # the exporter has no error of its own
        raise ExportError(
            f"PyTorch {torch.__version__} cannot write this model as ONNX with opset {opset} "
            f"({first_line(error)}): try another --opset."
        ) from error
