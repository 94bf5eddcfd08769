# SPDX-License-Identifier: Apache-2.0
"""The cache folder, and whether the network may be used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dinoiser_ros.segmentation.weights.cache import cache_folder, is_offline

from .findings import NOTE, Finding

_LEAST_FREE = 1e9  # bytes: vit-b-16 has 0.6 GB


def storage() -> list[Finding]:
    """Where weights are kept, what is there, and whether more can be fetched."""
    folder = cache_folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 1e6
    offline = "yes: nothing is fetched" if is_offline() else "no: weights are fetched when needed"
    return [
        Finding("offline", offline),
        Finding("cache", f"{folder}: {len(files)} files, {size:.0f} MB"),
        _room(folder),
    ]


def _room(folder: Path) -> Finding:
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    value = f"{free / 1e9:.1f} GB free"
    if not os.access(place, os.W_OK):
        return Finding("room in the cache", f"{place} cannot be written to", NOTE,
                       "set DINOISER_CACHE to a folder of yours")  # fmt: skip
    if free < _LEAST_FREE:
        return Finding("room in the cache", value, NOTE, "vit-b-16 takes 0.6 GB")
    return Finding("room in the cache", value)
