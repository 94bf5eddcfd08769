# SPDX-License-Identifier: Apache-2.0
"""The parameters about objects, and the names of their outputs."""

from __future__ import annotations

from dinoiser_ros.utils.option import Option

OBJECT_OUTPUTS = ("detections", "detections_3d", "instances")
OBJECT_OPTIONS = (
    Option(
        "object_classes",
        [""],
        "Classes that become objects, as the prompts name them; '' for all but stuff by its name: "
        "background, floors, walls, ground, sky and the like.",
        values_help="names of classes, or ''",
    ),
    Option(
        "object_min_size",
        0.002,
        "Fewest pixels of an object, as a share of the image's.",
        minimum=0.0,
        maximum=1.0,
    ),
    Option(
        "object_min_confidence",
        0.5,
        "Smallest mean confidence of an object.",
        minimum=0.0,
        maximum=1.0,
    ),
    Option(
        "object_depth_jump",
        0.4,
        "Distance in depth between two objects of one class that touch in the image.",
        unit="m",
        minimum=0.01,
        maximum=100.0,
    ),
    Option(
        "track_memory",
        2.0,
        "How long an object that is not seen keeps its track id.",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    ),
)
