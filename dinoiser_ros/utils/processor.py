# SPDX-License-Identifier: Apache-2.0
"""What processor this is."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def processor_name(cpuinfo: str = "/proc/cpuinfo") -> str:
    """The processor's model as the system names it; "" if it does not."""
    try:
        lines = Path(cpuinfo).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
