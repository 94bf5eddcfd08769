# SPDX-License-Identifier: Apache-2.0
"""DINO from files of every layout: the authors', timm's, and OpenCLIP's."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import torch

from dinoiser_ros.segmentation.networks.dino import OWN_EXTRA, DinoTower
from dinoiser_ros.segmentation.networks.dino_weights import NO_TEXT, from_dino
from dinoiser_ros.segmentation.weights.checkpoint import (
    STATE_KEYS,
    State,
    load_into,
    read_checkpoint,
)
from dinoiser_ros.segmentation.weights.uninitialised import Uninitialised

from .building import build_clip, compare_sizes, read_config


def read_dino(path: Path, config: Path | None = None, fused: bool = False) -> DinoTower:
    """Read a DINO vision transformer, frozen, in float32.

    Args:
        path: a state dict in the layout of DINO's authors and of timm, also within one of the
            authors' full checkpoints; with a config, the tower's weights in OpenCLIP's naming.
        config: of OpenCLIP, or None.
        fused: see `DinoTower`.

    Raises:
        WeightsError: unreadable, or another network.
    """
    with _command_lines_allowed():
        state, _ = read_checkpoint(path, (*STATE_KEYS, "teacher"))
    if config is None:
        return dino_from_state(state, str(path), fused=fused)
    state = {name.removeprefix("visual."): tensor for name, tensor in state.items()}
    architecture = read_config(config) | {"text_cfg": NO_TEXT}
    compare_sizes(architecture, state, str(path), str(config), prefix="")
    return _build(architecture, state, str(path), 0.0, fused)


def dino_from_state(
    state: State, source: str, heads: int | None = None, fused: bool = False
) -> DinoTower:
    """Build a DINO from a state dict in DINO's own layout.

    Args:
        state, source, heads: see `from_dino`.
        fused: see `DinoTower`.

    Raises:
        WeightsError: it is no such network.
    """
    architecture, converted = from_dino(state, source, heads)
    return _build(architecture, converted, source, OWN_EXTRA, fused)


def _build(
    architecture: dict[str, object], state: State, source: str, extra: float, fused: bool
) -> DinoTower:
    with Uninitialised():
        visual = build_clip(architecture, source)[0].visual
    load_into(visual, state, source)
    return DinoTower(visual.eval().requires_grad_(False), extra, fused)


def _command_lines_allowed() -> contextlib.AbstractContextManager[object]:
    """Lets DINO's full checkpoints be read, which hold their command line beside the weights."""
    if not hasattr(torch.serialization, "safe_globals"):  # before PyTorch 2.5
        return contextlib.nullcontext()
    return torch.serialization.safe_globals([argparse.Namespace])
