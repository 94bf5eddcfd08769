# SPDX-License-Identifier: Apache-2.0
"""Building networks whose weights are about to be read from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

_METHODS = {"normal_", "uniform_", "fill_", "zero_", "erfinv_", "mul_", "add_", "clamp_"}


class Uninitialised(TorchFunctionMode):
    """Modules made within this context have whatever is in memory for parameters.

    Random values for the 150 million parameters of ViT-B/16 would take a second, for nothing.
    Buffers get their values.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Leave parameters alone that `torch.nn.init` would fill."""
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")
        if isinstance(target, nn.Parameter) and _fills(func):
            return target
        return func(*args, **kwargs)


def _fills(function: Callable[..., Any]) -> bool:
    """Whether it is one of `torch.nn.init`, or of the methods that those are made of."""
    module = getattr(function, "__module__", None)
    return module == nn.init.__name__ or getattr(function, "__name__", "") in _METHODS
