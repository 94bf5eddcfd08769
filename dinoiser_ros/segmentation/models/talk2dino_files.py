# SPDX-License-Identifier: Apache-2.0
"""The files of Talk2DINO: a DINOv2 or DINOv3, and of a CLIP what belongs to texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from dinoiser_ros.segmentation.networks.dinov2.tower import DinoV2Tower
from dinoiser_ros.segmentation.networks.dinov2.weights import from_dinov2
from dinoiser_ros.segmentation.networks.dinov3.tower import DinoV3Tower
from dinoiser_ros.segmentation.networks.dinov3.weights import from_dinov3, is_dinov3
from dinoiser_ros.segmentation.networks.open_clip_types import ClipModel, Tokenizer
from dinoiser_ros.segmentation.weights.checkpoint import State, load_into, read_checkpoint
from dinoiser_ros.segmentation.weights.uninitialised import Uninitialised

from .building import build_clip, compare_sizes


def read_dino_tower(path: Path) -> DinoV2Tower | DinoV3Tower:
    """Read a DINOv2 or DINOv3, frozen, in float32.

    Raises:
        WeightsError: unreadable, or another network.
    """
    given, source = read_checkpoint(path)[0], str(path)
    tower: DinoV2Tower | DinoV3Tower
    if is_dinov3(given):
        sizes_3, state = from_dinov3(given, source)
        with Uninitialised():
            tower = DinoV3Tower(sizes_3)
    else:
        sizes, state = from_dinov2(given, source)
        with Uninitialised():
            tower = DinoV2Tower(sizes)
    load_into(tower, state, str(path))
    return tower.eval().requires_grad_(False)


def text_name(name: str) -> str | None:
    """The name of a weight of CLIP, None for those of its vision tower."""
    return None if name.startswith("visual.") else name


def build_text(
    config: dict[str, Any], state: State, path: Path, name: str
) -> tuple[ClipModel, Tokenizer]:
    """A CLIP without its vision tower, still to be filled, and its tokenizer.

    Args:
        config: of the whole CLIP.
        state: its weights but for the vision tower's.
        path, name: of the weights and of the model, for error messages.

    Raises:
        WeightsError: it is no config of a CLIP, or belongs to other weights.
    """
    compare_sizes(config, state, str(path), name, prefix=None)
    with Uninitialised():
        clip, tokenizer = build_clip(config, name)
    clip.visual = nn.Identity()  # type: ignore[assignment]  # the other tower takes its place
    return clip, tokenizer
