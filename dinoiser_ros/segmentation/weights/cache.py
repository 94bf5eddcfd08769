# SPDX-License-Identifier: Apache-2.0
"""The folder that fetched files and text embeddings are kept in, and whether anything is fetched.

The folder is `$DINOISER_CACHE`, else `$XDG_CACHE_HOME/dinoiser_ros`, else `~/.cache/dinoiser_ros`.
With the argument `offline`, `DINOISER_OFFLINE=1` or `HF_HUB_OFFLINE=1` nothing is fetched.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder that fetched files are kept in; it need not exist."""
    if folder := os.environ.get("DINOISER_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "dinoiser_ros"


def is_offline(offline: bool = False) -> bool:
    """Whether the network must not be used: by argument, DINOISER_OFFLINE or HF_HUB_OFFLINE."""
    flags = (os.environ.get(name, "") for name in ("DINOISER_OFFLINE", "HF_HUB_OFFLINE"))
    return offline or any(flag.strip().lower() not in ("", "0", "false", "no") for flag in flags)
