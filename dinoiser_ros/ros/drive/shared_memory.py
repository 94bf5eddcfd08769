# SPDX-License-Identifier: Apache-2.0
"""Fast DDS with room for images: as it comes, a depth image beside a picture may get lost."""

from __future__ import annotations

import os
from pathlib import Path

_OLD_NAMES = ("humble", "iron", "jazzy")


def profile() -> dict[str, str]:
    """The environment variable, with its value, that gives processes config/fastdds_images.xml."""
    from ament_index_python.packages import get_package_share_directory

    old = os.environ.get("ROS_DISTRO") in _OLD_NAMES
    name = f"{'FASTRTPS' if old else 'FASTDDS'}_DEFAULT_PROFILES_FILE"
    file = Path(get_package_share_directory("dinoiser_ros"), "config", "fastdds_images.xml")
    return {name: os.environ.get(name, str(file))}
