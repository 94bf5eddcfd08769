# SPDX-License-Identifier: Apache-2.0
"""The teachers by name or local file: DINO in three layouts, FOUND in two forms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from dinoiser_ros.errors import WeightsError
from dinoiser_ros.segmentation.models.dino_files import dino_from_state, read_dino
from dinoiser_ros.segmentation.networks.dino import DinoTower
from dinoiser_ros.segmentation.weights.cache import is_offline
from dinoiser_ros.segmentation.weights.checkpoint import STATE_KEYS, read_checkpoint
from dinoiser_ros.segmentation.weights.sources import find_file, parse_source
from dinoiser_ros.utils.sentences import first_line

from .found import found_head_from_state, seed_foreground
from .teacher import Teachers

_STEMS = {
    "dino-vit-s-16": "dino_deitsmall16_pretrain",
    "dino-vit-s-8": "dino_deitsmall8_300ep_pretrain",
    "dino-vit-b-16": "dino_vitbase16_pretrain",
    "dino-vit-b-8": "dino_vitbase8_pretrain",
}
DINO_URLS = {
    name: f"https://dl.fbaipublicfiles.com/dino/{stem}/{stem}.pth" for name, stem in _STEMS.items()
}
FOUND_URL = "https://raw.githubusercontent.com/valeoai/FOUND/HEAD/data/weights/decoder_weights.pt"
SEED = "seed"
_FILES = (".pth", ".pt", ".bin", ".safetensors", ".json")


@dataclass(frozen=True)
class TeacherNames:
    """Which teachers; the defaults are the paper's.

    Attributes:
        dino: a name in `DINO_URLS`, a file, or a timm name; its values teach the projection.
        found: "found" for the trained head, "seed" for the step without one, or a head's file.
        found_dino: as `dino`, the one whose keys FOUND reads; None for the trained head's own
            (dino-vit-s-8), and for `dino` with "seed".
    """

    dino: str = "dino-vit-b-16"
    found: str = "found"
    found_dino: str | None = None

    @property
    def found_reads(self) -> str:
        """The name of the DINO whose keys FOUND reads."""
        return self.found_dino or (self.dino if self.found == SEED else "dino-vit-s-8")


def load_teachers(names: TeacherNames, device: torch.device, offline: bool = False) -> Teachers:
    """Load DINO and FOUND, frozen, in float32.

    Raises:
        WeightsError: one cannot be had or is something else.
    """
    dino = load_dino(names.dino, offline).to(device)
    reads = names.found_reads
    found_dino = dino if reads == names.dino else load_dino(reads, offline).to(device)
    if names.found == SEED:
        return Teachers(dino, found_dino, seed_foreground)
    location = FOUND_URL if names.found == "found" else names.found
    path = find_file((parse_source(location),), offline)
    state = read_checkpoint(path, (*STATE_KEYS, "decoder"))[0]
    head = found_head_from_state(state, found_dino.width, str(path))
    return Teachers(dino, found_dino, head.to(device))


def load_dino(name: str, offline: bool = False) -> DinoTower:
    """Load a DINO.

    Args:
        name: a name in `DINO_URLS`; a file (DINO's or timm's state dict as .pth, .pt, .bin or
            .safetensors, or an OpenCLIP config .json with the tower's weights as .safetensors
            beside it); or the name of a DINO in timm.
        offline: never use the network.

    Raises:
        WeightsError: it cannot be had, or is no DINO.
    """
    source = parse_source(DINO_URLS.get(name, name))
    place = Path(source.location).expanduser()
    if not place.is_file() and place.suffix not in _FILES:
        return load_timm_dino(name, offline)
    path = find_file((source,), offline)
    if path.suffix == ".json":
        weights = find_file((parse_source(path.with_suffix(".safetensors")),), offline=True)
        return read_dino(weights, path)
    return read_dino(path, fused=True)


def load_timm_dino(name: str, offline: bool = False) -> DinoTower:
    """A DINO by its timm name, such as vit_base_patch16_224.dino; needs timm, the extra `train`.

    Raises:
        WeightsError: timm is missing, does not know it, or it is no DINO.
    """
    try:
        import timm
    except ImportError:
        raise WeightsError(
            f"There is no file {name!r}, and timm, which might know that name, is not installed: "
            f"give a file, one of {', '.join(DINO_URLS)}, or pip install timm."
        ) from None
    if is_offline(offline):
        raise WeightsError(
            f"{name!r} is a name of timm and the network is switched off: give the path of the "
            "DINO's weights."
        )
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # unknown names and a dozen kinds of network trouble
        raise WeightsError(
            f"timm cannot give {name!r} ({first_line(error)}): check the name or the network, or "
            "give the path of the DINO's weights."
        ) from error
    return dino_from_timm(model, f"timm's {name}")


def dino_from_timm(model: nn.Module, source: str) -> DinoTower:
    """A DINO from timm's own model of it.

    Raises:
        WeightsError: it is another kind of network.
    """
    blocks = getattr(model, "blocks", None)
    heads = getattr(getattr(blocks[0], "attn", None), "num_heads", None) if blocks else None
    return dino_from_state(model.state_dict(), source, heads, fused=True)
