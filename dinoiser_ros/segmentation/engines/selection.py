# SPDX-License-Identifier: Apache-2.0
"""Which engine computes a backbone, decided once when a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dinoiser_ros.segmentation.device import cpu_has_bfloat16
from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, Request
from dinoiser_ros.utils.processor import processor_name
from dinoiser_ros.utils.sentences import first_line
from dinoiser_ros.utils.version import package_version

from .backbones import EngineBackbone
from .dense_graph import VERSION, build_of, is_expressible, parts_of, write_dense_graph
from .runtimes.kinds import KINDS, make_runtime, missing_package, version_of
from .runtimes.runtime import Build
from .store import EngineStore, name_of
from .trial import Trial, try_engine

_NO_INT8 = "it has no int8, set engine to 'openvino'"


@dataclass(frozen=True)
class EngineWish:
    """What is asked for.

    Attributes:
        name: the option `engine`.
        precision: the option `precision`.
        request: what the method asks of the backbone; None: it has none.
        shorter_side: in pixels, of the images that the model works best at.
        store: where graphs and trials are kept; None: the user's cache.
    """

    name: str
    precision: str
    request: Request | None
    shorter_side: int
    store: EngineStore | None = None


class EngineSelection:
    """From a wish to a backbone: the graph is written before the weights change their type.

    Args:
        wish: what is asked for.
        device: that the model is on.
        identity: of the network, see `network_identity`.

    Attributes:
        problem: why the engine that was asked for is not used, in one sentence; None if it is, or
            if none was asked for.
    """

    def __init__(self, wish: EngineWish, device: torch.device, identity: str) -> None:
        self._wish, self._device, self._identity = wish, device, identity
        self._graph: Path | None = None
        self._usual: float | None = None  # see `Trial.is_same`
        self.problem: str | None = None
        self._name = self._candidate()

    def write_graph(self, exact: Callable[[], Backbone]) -> None:
        """Write the graph of the backbone, unless the cache has it or no engine is to be used.

        Args:
            exact: gives the backbone, with weights in float32.
        """
        if self._name is None:
            return
        backbone, request = exact(), self._request
        name = graph_name(self._identity, backbone, request)
        try:
            self._store = self._wish.store or EngineStore()
            if self.precision == "int8":
                self._graph = self._store.quantised(name)
                self._usual = self._store.int8_cosine(name)
                return
            self._graph = self._store.graph(
                name, lambda path: write_dense_graph(backbone, request, path)
            )
        except Exception as error:  # of the exporter, the system or the store
            self._give_up(first_line(error))

    def attached(self, backbone: Backbone) -> Backbone:
        """The backbone, computed by the engine if that is to be used.

        Args:
            backbone: with weights in the type that PyTorch is to compute in.
        """
        if self._name is None or self._graph is None:
            return backbone
        request, auto = self._request, self._wish.name == "auto"
        try:
            build = self._build(backbone, self._graph)
            key = self._trial_name(build, backbone)
            with self._store.locked():
                kept = self._store.trial(key)
                trial = Trial(**kept) if kept and kept.keys() == {"speed", "cosine"} else None
                if trial is not None and auto and not trial.is_faster:
                    return backbone
                runtime = make_runtime(self._name, build)
                engine = EngineBackbone(backbone, runtime, request, self._name, self.precision)
                if trial is None:
                    trial = try_engine(engine, backbone, request, build.shorter_side)
                    self._store.keep_trial(key, vars(trial))
        except Exception as error:  # whatever a runtime says
            self._give_up(first_line(error))
            return backbone
        if not trial.is_same(self._usual):
            self._give_up(f"its features differ from PyTorch's: cosine {trial.cosine:.3f}")
            return backbone
        return engine if trial.is_faster or not auto else backbone

    @property
    def precision(self) -> str:
        """What the engine computes in."""
        assert self._name is not None, "asked of an engine alone"
        wanted, able = self._wish.precision, KINDS[self._name].precisions
        if wanted == "auto":
            on_cpu = "bfloat16" if cpu_has_bfloat16() else "float32"
            wanted = "float16" if self._device.type == "cuda" else on_cpu
        return wanted if wanted in able else able[0]

    @property
    def _request(self) -> Request:
        assert self._wish.request is not None, "no engine is chosen without"
        return self._wish.request

    def _candidate(self) -> str | None:
        """The engine that may be used, or None with the reason in `problem`."""
        name, int8 = self._wish.name, self._wish.precision == "int8"
        if name == "auto" and not int8:
            tried = (key for key, kind in KINDS.items() if kind.tried)
            return next((key for key in tried if self._lack(key) is None), None)
        name = "openvino" if name == "auto" else name
        if name == "torch":
            if int8:
                self.problem = (
                    "precision int8 is not used: PyTorch has none here, set engine to 'openvino'"
                )
            return None
        lack = self._lack(name)
        if lack is not None:
            self._give_up(lack, name)
            return None
        return name

    def _lack(self, name: str) -> str | None:
        """What keeps an engine from being used, as a clause; None if nothing does."""
        kind, request = KINDS[name], self._wish.request
        if request is None or not is_expressible(request):
            return "it cannot compute what this method asks of its network"
        if kind.device != self._device.type:
            return f"it computes on {kind.device} and the model is on {self._device}"
        if self._wish.precision == "int8" and "int8" not in kind.precisions:
            return _NO_INT8
        missing = missing_package(name)
        return missing and f"{missing} is not installed: run pip install {kind.install}"

    def _give_up(self, reason: str, name: str | None = None) -> None:
        name = name or self._name
        self.problem = f"the engine {name} is not used ({reason}): PyTorch takes its place"
        self._name = None

    def _build(self, backbone: Backbone, graph: Path) -> Build:
        return build_of(
            backbone, self._request, graph, self._store.folder, self.precision,
            self._wish.shorter_side,
        )  # fmt: skip

    def _trial_name(self, build: Build, backbone: Backbone) -> str:
        """What a trial's result depends on."""
        assert self._name is not None, "see `attached`"
        # An int8 form has the same name when it is made again from other pictures.
        made = [build.graph.stat().st_mtime_ns] if build.precision == "int8" else []
        return name_of(
            build.graph.relative_to(build.folder), self._name, version_of(self._name),
            build.precision, build.threads, build.shorter_side, backbone.dtype,
            torch.__version__, _device_name(self._device), *made,
        )  # fmt: skip


def graph_name(identity: str, backbone: Backbone, request: Request) -> str:
    """The name that a graph is kept by: it stands for all that the content depends on."""
    return name_of(
        VERSION, package_version(), identity, backbone.family, backbone.statistics,
        backbone.intermediate_layer, parts_of(request),
    )  # fmt: skip


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
