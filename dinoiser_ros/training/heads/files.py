# SPDX-License-Identifier: Apache-2.0
"""Trained heads as files: as the engine reads them, and as the authors write them.

Beside them lies a record of what they were trained with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.segmentation.networks.dinoiser_heads import (
    DELTA,
    GAMMA,
    INTERMEDIATE_LAYER,
    DinoiserHeads,
    heads_from_state,
)
from dinoiser_ros.segmentation.weights.checkpoint import read_checkpoint
from dinoiser_ros.utils.atomic_files import atomic_write, atomic_write_text

_AUTHORS = (".pt", ".pth")  # suffixes of the authors' layout


@dataclass(frozen=True)
class Thresholds:
    """What belongs to heads besides their weights; see `DinoiserHeads`."""

    gamma: float = GAMMA
    delta: float = DELTA
    intermediate_layer: int = INTERMEDIATE_LAYER


def check_output(path: Path, thresholds: Thresholds) -> None:
    """Refuse a file that heads cannot be written to, before hours of training.

    Raises:
        TrainingError: an unknown suffix, or a layout that cannot hold the thresholds.
    """
    if path.suffix not in (".safetensors", *_AUTHORS):
        raise TrainingError(f"{path} has no known suffix: use .safetensors, or .pt as the authors.")
    if path.suffix in _AUTHORS and thresholds != Thresholds():
        raise TrainingError(
            f"{path}: the authors' layout has no place for other thresholds or another layer than "
            "the paper's: use .safetensors."
        )


def save_heads(
    heads: DinoiserHeads, path: Path, thresholds: Thresholds, dtype: torch.dtype = torch.float32
) -> None:
    """Write heads, as a whole or not at all; the suffix tells the layout.

    Args:
        heads: their weights are written; the thresholds are given apart, as training does not
            choose them.
        path: .safetensors with the thresholds as metadata, or .pt in the authors' layout.
        dtype: number format of the weights.
    """
    state = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in heads.state_dict().items()
    }
    with atomic_write(path) as part:
        if path.suffix in _AUTHORS:
            torch.save({"model_state_dict": state}, part)
        else:
            values = {name: str(value) for name, value in vars(thresholds).items()}
            save_file(state, part, metadata=values)


def read_heads(path: Path, width: int) -> DinoiserHeads:
    """Heads to train further, from either layout.

    Args:
        width: of the features that they shall read.

    Raises:
        WeightsError: no heads.
        TrainingError: heads for features of another width.
    """
    read = heads_from_state(*read_checkpoint(path), str(path))
    if read.width != width:
        raise TrainingError(
            f"{path} reads features of width {read.width}, this backbone's have {width}: start "
            "from heads of this backbone, or from none."
        )
    return read.train().requires_grad_(True)


def write_record(path: Path, record: dict[str, object]) -> Path:
    """Write what heads were trained with beside them, as <name>.training.json; returns that path.

    A plain <name>.json could be the config of a model.
    """
    target = path.with_suffix(".training.json")
    atomic_write_text(target, json.dumps(record, indent=1) + "\n")
    return target


def curve(losses: Sequence[float], points: int = 20) -> list[float]:
    """Losses averaged over ``points`` equal parts of the run."""
    return [
        round(float(np.mean(part)), 3) for part in np.array_split(losses, min(points, len(losses)))
    ]
