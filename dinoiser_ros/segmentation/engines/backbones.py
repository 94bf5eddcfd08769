# SPDX-License-Identifier: Apache-2.0
"""A backbone that an engine computes, and PyTorch what the engine cannot."""

from __future__ import annotations

from math import ceil
from typing import Any

from torch import Tensor

from dinoiser_ros.segmentation.networks.clip_backbone import Backbone, DenseFeatures, Request
from dinoiser_ros.utils.available_memory import available_memory
from dinoiser_ros.utils.sentences import first_line

from .dense_graph import MEANS, is_expressible, parts_of
from .runtimes.kinds import KINDS
from .runtimes.runtime import FrameNotServedError, Runtime

_ALWAYS_FITS = 1 << 30  # bytes; the system is not asked for frames that take less
_MOST_GRIDS = 16  # whose positions are kept
_DEFAULT = Request()


class EngineBackbone(Backbone):
    """As the backbone that it takes the place of; it may be used by several threads.

    Args:
        backbone: computes what the engine cannot: attention maps, what another method asks for, and
            every frame after the engine failed once.
        runtime: of its graph.
        request: what the graph gives.
        engine: name of the runtime, as in the option `engine`.
        precision: floating-point type that the runtime computes in.

    Attributes:
        precision: as given; that of the backbone after a failure.
        problem: why PyTorch computed the last frame, in one sentence; None if it did not.
    """

    def __init__(
        self, backbone: Backbone, runtime: Runtime, request: Request, engine: str, precision: str
    ) -> None:
        self.__dict__.update(vars(backbone))  # the same weights, and all that is known of them
        self.family, self.prefix = backbone.family, backbone.prefix
        self._torch, self._runtime, self._name = backbone, runtime, engine
        self._request, self._parts = request, frozenset(parts_of(request))
        self._fixed: dict[tuple[int, int], Tensor] = {}
        self._failed = False
        self._engine_precision = precision
        self.problem: str | None = None

    @property
    def engine(self) -> str:
        """What computes frames: the runtime's name, or "torch" after a failure."""
        return "torch" if self.problem else self._name

    @property
    def precision(self) -> str:
        """The floating-point type that frames are computed in."""
        if self.engine == "torch":
            return str(self.dtype).removeprefix("torch.")
        return self._engine_precision

    def __call__(self, images: Tensor, request: Request = _DEFAULT) -> DenseFeatures:
        """See `Backbone`."""
        if not self._failed:
            try:
                found = self.computed(images, request)
            except FrameNotServedError as error:
                self.problem = f"PyTorch computes these frames: {error}"
            except Exception as error:  # whatever a runtime raises
                self._failed = True
                self.problem = (
                    f"the engine {self._name} failed ({first_line(error)}) and PyTorch takes its "
                    "place: set engine to 'torch', or install another version of it"
                )
            else:
                self.problem = None
                return found
        self._torch.watch = self.watch
        return self._torch(images, request)

    def computed(self, images: Tensor, request: Request) -> DenseFeatures:
        """The engine's answer, or its error.

        Raises:
            Exception: whatever the runtime raises.
        """
        wanted = parts_of(request)
        if not is_expressible(request) or not self._parts.issuperset(wanted):
            raise FrameNotServedError(
                f"the method asks for what the engine {self._name} was not built for; to build it "
                "for this method, load the model again"
            )
        patch = self.patch_size
        grid = ceil(images.shape[-2] / patch), ceil(images.shape[-1] / patch)
        self._check_memory(len(images), self.prefix + grid[0] * grid[1])
        found = self._runtime(images, self._positions_of(grid, images))
        if self.watch is not None:
            self.watch(found[MEANS])
        parts: dict[str, Any] = {name: found[name] for name in wanted}
        return DenseFeatures(grid, **parts, prefix=self.prefix)

    def _check_memory(self, batch: int, tokens: int) -> None:
        """Refuse what would fill the memory: PyTorch computes attention in parts.

        Raises:
            FrameNotServedError: says what it takes and what there is.
        """
        kind = KINDS.get(self._name)  # None: a test's
        maps = 0 if kind is None else kind.maps * batch * self.blocks[0].attn.num_heads
        needed = 4 * maps * tokens**2
        if needed < _ALWAYS_FITS:
            return
        room = available_memory()
        if room is not None and needed > room:
            raise FrameNotServedError(
                f"{self._name} would take about {needed / 1e9:.1f} GB for {tokens} patches, and "
                f"{room / 1e9:.1f} GB are free; reduce inference_size to use it"
            )

    def _positions_of(self, grid: tuple[int, int], images: Tensor) -> Tensor:
        if grid not in self._fixed:
            if len(self._fixed) >= _MOST_GRIDS:
                self._fixed.clear()
            resized = self.resized_positions(grid)
            self._fixed[grid] = resized.to(images.device).contiguous()
        return self._fixed[grid]

    def attend_last(self, x: Tensor, attention: Tensor) -> Tensor:
        """See `Backbone`."""
        return self._torch.attend_last(x, attention)

    def _resized_positions(self, grid: tuple[int, int], mode: str) -> Tensor:
        return self._torch._resized_positions(grid, mode)
