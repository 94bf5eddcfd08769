# SPDX-License-Identifier: Apache-2.0
"""The parameters depth_topics and camera_info_topics: one entry for each camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.segment.parameters import DEPTH_SIZE

_TRANSPORT = "/compressedDepth"


def check_mask_size(changes: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Refuse masks in the size of a depth that there is not.

    Args:
        changes: new values by parameter name.
        values: those in use.

    Raises:
        ParameterError: says what to set.
    """
    if changes.get("mask_size") == DEPTH_SIZE and not any(values["depth_topics"]):
        raise ParameterError(
            "mask_size cannot be 'depth' where no camera has depth: name the topics in "
            "depth_topics, which is read at configure, or give the size, such as 320x240."
        )


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
