# SPDX-License-Identifier: Apache-2.0
"""What all runtimes have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class FrameNotServedError(Exception):
    """A runtime cannot compute this frame, but others: the reason, as a clause."""


class Runtime(Protocol):
    """Runs one graph; may be called from any thread."""

    def __call__(self, images: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """Compute.

        Args:
            images, positions: see `DenseGraph.forward`; on the runtime's device.

        Returns:
            All outputs by name, in memory of their own.

        Raises:
            FrameNotServedError: not for this frame.
        """


@dataclass(frozen=True)
class Build:
    """What a runtime is made from.

    Attributes:
        graph: the ONNX file.
        folder: where the runtime may keep what it makes of it; it exists.
        precision: floating-point type to compute in, as far as the runtime has it.
        outputs: what the graph gives, by name.
        threads: on a CPU.
        positions: shape of the input of this name; its last side but one is that of the places,
            the first `prefix` of which are no patches'.
        prefix: see there.
        patch: pixels of a patch's side.
        shorter_side: of images, in pixels, as far as it is known.
    """

    graph: Path
    folder: Path
    precision: str
    outputs: tuple[str, ...]
    threads: int
    positions: tuple[int, ...]
    prefix: int
    patch: int
    shorter_side: int


class HostRuntime:
    """A runtime on the CPU, as a function of arrays; one call at a time.

    Args:
        compute: from the inputs by name to the outputs by name, which it may use again.
    """

    def __init__(
        self, compute: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
    ) -> None:
        self._compute = compute
        self._lock = threading.Lock()

    def __call__(self, images: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """See `Runtime`."""
        given = {"images": images.contiguous().numpy(), "positions": positions.numpy()}
        with self._lock:
            found = self._compute(given)
            return {name: torch.from_numpy(np.array(array)) for name, array in found.items()}
