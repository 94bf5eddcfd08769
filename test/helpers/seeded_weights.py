# SPDX-License-Identifier: Apache-2.0
"""Weights that a test and the script that made its golden arrays both draw from a seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

_SCALES = (".weight", ".gamma")


def seeded_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Uniform values that depend on the name alone: scales around 1, matrices of unit gain."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = torch.as_tensor(np.asarray(np.random.default_rng(seed).random(shape)) * 2 - 1).float()
    if len(shape) < 2:
        return 1 + 0.2 * values if name.endswith(_SCALES) else 0.2 * values
    inner = shape[-1] if len(shape) == 2 else int(np.prod(shape[1:]))
    return values * (3 / inner) ** 0.5 if name.endswith("weight") else 0.5 * values


def seeded_state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Tensors of these names and shapes."""
    return {name: seeded_tensor(name, tuple(shape)) for name, shape in shapes.items()}


def names_and_shapes(golden: Mapping[str, np.ndarray], key: str = "shapes") -> dict[str, list[int]]:
    """The names and shapes that golden arrays were made with, as the authors' code has them."""
    return json.loads(str(golden[key]))


def write_state(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """A safetensors file, or PyTorch's by its suffix."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path
