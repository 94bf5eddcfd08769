# SPDX-License-Identifier: Apache-2.0
"""A backbone in 8-bit integers, for OpenVINO: post-training quantisation with nncf.

Ranges of activations are taken from pictures, which have to be of the place where the model is to
work (arXiv 1712.05877); those of a transformer are first moved into the weights where they are much
wider in some channels (SmoothQuant, arXiv 2211.10438).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dinoiser_ros.errors import EngineError
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, Request
from dinoiser_ros.segmentation.pixels.preprocess import inference_shape, to_batch

from .backbones import EngineBackbone
from .dense_graph import build_of, is_expressible, write_dense_graph
from .runtimes.kinds import make_runtime
from .runtimes.runtime import Build
from .selection import graph_name
from .store import INT8_FILE, EngineStore
from .trial import compare_engine

INSTALL = "pip install 'dinoiser_ros[quantize]'"


class Quantisation:
    """From a backbone and pictures to a file that `precision: int8` finds.

    Args:
        backbone: in float32 on the CPU.
        request: what the method asks of it.
        identity: see `network_identity`.
        shorter_side: in pixels, that pictures are resized to; None: none are.
        store: where the result is kept.

    Raises:
        EngineError: a package is missing, or no graph can compute what the method asks.
    """

    def __init__(
        self,
        backbone: Backbone,
        request: Request,
        identity: str,
        shorter_side: int | None,
        store: EngineStore | None = None,
    ) -> None:
        if not is_expressible(request):
            raise EngineError("No engine can compute what this method asks of its network.")
        _require_packages()
        self._backbone, self._request = backbone, request
        self._shorter_side = shorter_side
        self._store = store or EngineStore()
        self._name = graph_name(identity, backbone, request)

    def quantised(self, pictures: Sequence[np.ndarray]) -> Any:
        """The backbone in int8, as a model of OpenVINO; takes minutes.

        Args:
            pictures: (H, W, 3) uint8 RGB, what ranges are taken from.

        Raises:
            ExportError, OSError: the graph cannot be written.
        """
        import nncf
        import openvino

        graph = self._store.graph(self._name, self._write)
        return nncf.quantize(
            openvino.Core().read_model(str(graph)),
            nncf.Dataset(list(pictures), self._inputs),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pictures),
        )

    def save(self, model: Any, folder: Path) -> Path:
        """Write a model of `quantised` into a folder; returns the file."""
        import openvino

        path = folder / INT8_FILE
        openvino.save_model(model, str(path), compress_to_fp16=False)
        return path

    def keep(self, folder: Path, engine: EngineBackbone) -> Path:
        """Take what `save` wrote into a folder into the store; returns its place there.

        Args:
            engine: of the file there.

        Raises:
            OSError: it cannot be written.
        """
        shorter_side = self._build(folder / INT8_FILE).shorter_side
        cosine = compare_engine(engine, self._backbone, self._request, shorter_side)
        return self._store.keep_int8(self._name, folder, cosine)

    def engine(self, path: Path) -> EngineBackbone:
        """The backbone as a file of `save` computes it."""
        build = self._build(path)
        runtime = make_runtime("openvino", build)
        return EngineBackbone(self._backbone, runtime, self._request, "openvino", build.precision)

    def _build(self, path: Path) -> Build:
        return build_of(
            self._backbone, self._request, path, path.parent, "int8", self._shorter_side or 0
        )

    def _write(self, path: Path) -> None:
        write_dense_graph(self._backbone, self._request, path)

    def _inputs(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """A picture as the graph takes it."""
        shape = inference_shape((picture.shape[0], picture.shape[1]), self._shorter_side)
        patch = self._backbone.patch_size
        grid = ceil(shape[0] / patch), ceil(shape[1] / patch)
        return {
            "images": to_batch([picture], shape, torch.device("cpu")).numpy(),
            "positions": self._backbone.resized_positions(grid).numpy(),
        }


def _require_packages() -> None:
    # nncf sends statistics of its use to its makers unless it is told that this is a test.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        import nncf  # noqa: F401
        import onnx  # noqa: F401
        import openvino  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"Quantising needs openvino, onnx and nncf ({error}): run {INSTALL}."
        ) from error
