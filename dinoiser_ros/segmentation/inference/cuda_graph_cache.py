# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: the work of a frame, launched on a GPU in one call.

A frame takes some hundreds of kernels, and with a fast GPU the host needs longer to launch them one
by one than the GPU needs to run them. A CUDA graph is the sequence of kernels of one frame with all
their addresses: the next frame's pixels are put where the first one's were, and all are launched at
once. It fits frames of one size, one vocabulary and one set of options.

The frame that a graph is captured with is also computed in the ordinary way, and the graph is only
used if it gives the same result. If anything fails, frames are computed in the ordinary way.
"""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

Compute = Callable[[Tensor], Tensor]
_Kind = tuple[torch.Size, tuple[int, int]]  # of the pixels, and at inference
Capture = Callable[[Compute, Tensor], tuple[Callable[[], object], Tensor]]

_MOST = 8  # kinds of frames that are remembered; a graph holds the memory that a frame takes
_AGREEMENT = 0.99  # of pixels that have the same label in a graph and without


class Replays:
    """Computes frames; those of a kind seen before are replayed as graphs.

    May be called from any thread; one frame is computed at a time.

    Args:
        device: what the frames are computed on.
        capture: makes a graph of a function, see `capture_cuda_graph`; None: never.

    Attributes:
        problem: why no graphs are made in the present setting, in one sentence; None if they are.
    """

    def __init__(self, device: torch.device, capture: Capture | None) -> None:
        self._device = device
        self._capture = capture
        self._lock = threading.Lock()
        self._setting: tuple[object, ...] = ()
        self._known: OrderedDict[_Kind, _Graph | None] = OrderedDict()
        self.problem: str | None = None

    def __call__(
        self,
        compute: Compute,
        pixels: Tensor,
        shape: tuple[int, int],
        setting: tuple[object, ...],
    ) -> Tensor:
        """Compute a frame: ordinarily at first, as a graph from the third of its kind on.

        Args:
            compute: from pixels on the device to (2, B, H, W) or (3, B, H, W), see
                `transfer.pack_results`.
            pixels: (B, H, W, 3) uint8 on the host.
            shape: height and width at inference. Whole images and windows of one size have
                different ones.
            setting: what `compute` depends on besides; another object is another setting, for
                which the graphs of the one before are given up.

        Returns:
            What `compute` gives, on the host.

        Raises:
            Exception: whatever `compute` raises; then no graph is kept, so that a frame that found
                the memory full has more of it when it is tried again.
        """
        with self._lock:
            capture = self._capture
            if capture is None:
                return compute(pixels.to(self._device)).cpu()
            if not _same(setting, self._setting):
                self._known.clear()
                self._setting, self.problem = setting, None
            kind = (pixels.shape, shape)
            graph = self._known.get(kind)
            try:
                if graph is not None:
                    self._known.move_to_end(kind)
                    return graph(pixels)
                packed = compute(pixels.to(self._device)).cpu()
            except Exception:
                self._known.clear()
                raise
            second = self.problem is None and kind in self._known
            self._known[kind] = self._graph(capture, compute, pixels, packed) if second else None
            self._known.move_to_end(kind)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
            return packed

    def _graph(
        self, capture: Capture, compute: Compute, pixels: Tensor, packed: Tensor
    ) -> _Graph | None:
        """A graph that gives `packed` for these pixels.

        None if it cannot be made or gives something else; then there is none until the setting
        changes.
        """
        try:
            graph = _Graph(compute, pixels, self._device, capture)
            agreement = (graph(pixels)[1:] == packed[1:]).float().mean().item()
        except Exception as error:  # what a driver or library may say to being captured
            self._give_up(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
            return None
        if agreement < _AGREEMENT:
            self._give_up(f"one gave other labels on {1 - agreement:.1%} of the pixels")
            return None
        return graph

    def _give_up(self, reason: str) -> None:
        self._known.clear()
        self.problem = (
            f"CUDA graphs are not used ({reason}): frames take longer to launch; set cuda_graphs "
            "to false to try none"
        )


class _Graph:
    """One captured frame, with the memory that it reads and writes."""

    def __init__(
        self, compute: Compute, pixels: Tensor, device: torch.device, capture: Capture
    ) -> None:
        self._pixels = pixels.to(device, copy=True)
        self._reads: list[_Reads] = []

        def watched(given: Tensor) -> Tensor:
            self._reads.append(_Reads())
            with self._reads[-1]:
                return compute(given)

        self._replay, self._packed = capture(watched, self._pixels)

    def __call__(self, pixels: Tensor) -> Tensor:
        self._pixels.copy_(pixels)
        self._replay()
        return self._packed.to("cpu", copy=True)


class _Reads(TorchDispatchMode):
    """Keeps the tensors that a function reads and has not made itself.

    A graph knows only their addresses: were one of them freed, such as a cached positional
    embedding for which there is no room any more, the graph would read what comes after it.
    """

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self._kept: dict[int, Tensor] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for address, tensor in _addresses((args, kwargs)).items():
            if address not in self._made:
                self._kept.setdefault(address, tensor)  # views that follow share its memory
        result = func(*args, **(kwargs or {}))
        self._made |= _addresses(result).keys() - self._kept.keys()
        return result


def _addresses(tree: object) -> dict[int, Tensor]:
    """All tensors in nested containers by where their memory begins."""
    tensors = (leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor))
    return {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}


def _same(setting: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether they consist of the same objects: tensors have no equality of their own."""
    return len(setting) == len(other) and all(map(operator.is_, setting, other))
