# SPDX-License-Identifier: Apache-2.0
"""How much memory this process can still get, from what Linux says."""

from __future__ import annotations

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Bytes that can be allocated without swapping; None where the system does not say.

    Args:
        meminfo: the machine's; "MemAvailable" counts caches that can be dropped.
        cgroup: folder of the container's limit (cgroup v2), if there is one.
    """
    room = [value for value in (_of_machine(meminfo), _of_container(cgroup)) if value is not None]
    return min(room) if room else None


def _of_machine(meminfo: Path) -> int | None:
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(value.split()[0])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _of_container(cgroup: Path) -> int | None:
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = (cgroup / "memory.current").read_text(encoding="ascii").strip()
        return max(0, int(limit) - int(used))  # "max" is no limit, and no number
    except (OSError, ValueError):
        return None
