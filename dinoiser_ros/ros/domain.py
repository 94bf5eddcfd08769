# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that nobody else on this machine uses while this process lives."""

from __future__ import annotations

import fcntl
import functools
import os
import socket
import tempfile
from pathlib import Path

# Everybody starts in domain 0; the ports of those above 101 belong to Linux's ephemeral ones.
_DOMAINS = range(1, 102)
_LOCKS = Path(tempfile.gettempdir())  # one file for each domain, shared by all users


def isolate_ros() -> None:
    """Keep this process's ROS, and that of its children, apart from every other one."""
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    else:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


@functools.cache
def own_domain() -> int:
    """Take a free domain; it stays this process's own until the process ends.

    Raises:
        RuntimeError: all domains are taken.
    """
    for offset in range(len(_DOMAINS)):
        # Processes that start at the same time do not all ask for the same one.
        domain = _DOMAINS[(os.getpid() + offset) % len(_DOMAINS)]
        lock = _lock(domain)
        if lock is None:
            continue
        if not _has_participants(domain):
            return domain  # the lock stays open, and ends with the process
        os.close(lock)
    raise RuntimeError(f"all ROS domains from {_DOMAINS[0]} to {_DOMAINS[-1]} are taken")


def _lock(domain: int) -> int | None:
    """The descriptor of a lock on the domain; None if another process has it."""
    try:
        lock = os.open(_LOCKS / f"dinoiser_ros_domain_{domain}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # another user's
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _has_participants(domain: int) -> bool:
    """Whether some program that knows nothing of the locks is in the domain already."""
    base = 7400 + 250 * domain  # RTPS specification, 9.6.2: ports of discovery
    for port in (base, base + 10):  # multicast, and the first participant's own
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return True
    return False
