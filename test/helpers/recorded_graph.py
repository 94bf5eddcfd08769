# SPDX-License-Identifier: Apache-2.0
"""What a CUDA graph is, on a CPU: operators with the memory they read and write, run again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


def record(
    compute: Callable[[Tensor], Tensor], pixels: Tensor
) -> tuple[Callable[[], None], Tensor]:
    """Stands in for `cuda_graphs.capture_cuda_graph`.

    As there, nothing of Python runs when it is replayed, the results come into memory that stays
    the same, and whoever looks at a value while it is recorded fails.
    """
    compute(pixels)
    recorder = _Recorder()
    with recorder:
        packed = compute(pixels)
    packed.zero_()  # what is captured has not been computed yet
    return recorder.replay, packed


_LOOKS = tuple(
    getattr(torch.ops.aten, name)
    for name in ("item", "_local_scalar_dense", "is_nonzero", "equal", "nonzero")
)


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self._steps: list[tuple[Any, tuple, dict, object]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in _LOOKS:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = func(*args, **(kwargs or {}))
        self._steps.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Run all operators again; what they allocate goes to where it was the first time."""
        for func, args, kwargs, result in self._steps:
            again = func(*args, **kwargs)
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                if isinstance(old, Tensor) and not _shared(old, new):  # else a view, or in place
                    old.copy_(new)


def _shared(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
