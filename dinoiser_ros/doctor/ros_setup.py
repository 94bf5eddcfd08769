# SPDX-License-Identifier: Apache-2.0
"""ROS, its middleware, and the buffers that images need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .findings import NOTE, Finding

_IMAGE = 640 * 480 * 3  # bytes
_VARIABLES = (
    "ROS_DISTRO",
    "RMW_IMPLEMENTATION",
    "ROS_DOMAIN_ID",
    "ROS_LOCALHOST_ONLY",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
    "CYCLONEDDS_URI",
)


def ros(proc: str = "/proc/sys/net/core", shared: str = "/dev/shm") -> list[Finding]:
    """What is set in the environment, and how much room DDS has."""
    findings = [_middleware()]
    findings += [Finding(name, os.environ[name]) for name in _VARIABLES if os.environ.get(name)]
    return [*findings, _receive_buffer(Path(proc, "rmem_max")), _shared_memory(Path(shared))]


def _middleware() -> Finding:
    """Which middleware rclpy uses, if there is an rclpy."""
    try:
        from rclpy.utilities import get_rmw_implementation_identifier

        return Finding("rclpy", f"installed, with {get_rmw_implementation_identifier()}")
    except (ImportError, RuntimeError) as error:
        return Finding("rclpy", str(error), NOTE, "source ROS, or '. tools/env.sh'")


def _receive_buffer(file: Path) -> Finding:
    name = "largest receive buffer (net.core.rmem_max)"
    try:
        size = int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Finding(name, "unknown")
    if size < _IMAGE:
        advice = "for images from other machines: sudo sysctl -w net.core.rmem_max=8388608"
        return Finding(name, f"{size} bytes, less than an image of 640x480", NOTE, advice)
    return Finding(name, f"{size} bytes")


def _shared_memory(folder: Path) -> Finding:
    name = "shared memory (/dev/shm)"
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return Finding(name, "not there", NOTE, "images between processes are slower")
    value = f"{usage.free / 1e6:.0f} of {usage.total / 1e6:.0f} MB free"
    if usage.free < 20 * _IMAGE:
        return Finding(name, value, NOTE, "in a container: docker run --shm-size 1g, or --ipc host")
    return Finding(name, value)
