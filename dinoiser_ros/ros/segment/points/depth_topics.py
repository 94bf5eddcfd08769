# SPDX-License-Identifier: Apache-2.0
"""The parameters depth_topics and camera_info_topics: one entry for each camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dinoiser_ros.errors import ParameterError

_TRANSPORT = "/compressedDepth"


def topics_of_cameras(
    values: Mapping[str, Any], resolve: Callable[[str], str]
) -> list[tuple[str, str] | None]:
    """Topics of depth and camera_info for each entry of image_topics; None for a camera without.

    Args:
        values: parameters by name.
        resolve: makes a topic's name fully qualified.

    Raises:
        ParameterError: there are not as many as cameras, or depth has no camera_info.
    """
    cameras = len(values["image_topics"])
    lists = {}
    for name in ("depth_topics", "camera_info_topics"):
        given = list(values[name])
        if not any(given):
            given = [""] * cameras
        if len(given) != cameras:
            raise ParameterError(
                f"{name} has {len(given)} entries and image_topics {cameras}: give one for each "
                "camera, '' for one without depth."
            )
        lists[name] = given
    found: list[tuple[str, str] | None] = []
    for depth, info in zip(lists["depth_topics"], lists["camera_info_topics"], strict=True):
        if depth and not info:
            usual = resolve(depth).removesuffix(_TRANSPORT).rpartition("/")[0] + "/camera_info"
            raise ParameterError(
                f"camera_info_topics has no entry for the depth of {depth}: name one; camera "
                f"drivers publish it as {usual}."
            )
        found.append((resolve(depth), resolve(info)) if depth else None)
    return found
