# SPDX-License-Identifier: Apache-2.0
"""The parameters of the node `dinoiser`: its own, written here, and the engine's options.

The engine's come from `option_schema`; where Python has None, ROS has the row's `unset`: -1 for
"the value that belongs to the heads", 0 for the model's own inference size, an empty text for the
model's own files. No default of a parameter is written anywhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.messages.class_ids import BY_NAME as IDS_BY_NAME
from dinoiser_ros.messages.class_ids import POLICIES
from dinoiser_ros.option_schema import FRAME_OPTIONS, MODEL_OPTIONS
from dinoiser_ros.ros.parameter_declaration import check
from dinoiser_ros.ros.segment.objects.object_options import OBJECT_OPTIONS, OBJECT_OUTPUTS
from dinoiser_ros.temporal.window_shares import LEAST_SHARE
from dinoiser_ros.utils.option import CONFIGURE, START, Option, by_name, did_you_mean

_LOGGED = 1000  # characters of accepted values in the log
DEPTH_SIZE = "depth"  # value of mask_size
_SIDE = "(?:[1-9][0-9]{0,2}|[1-3][0-9]{3}|40[0-8][0-9]|409[0-6])"  # of a mask, 1 to 4096 pixels
_TOPIC_OR_NONE = r"(?:[~/A-Za-z_][~/A-Za-z0-9_{}]*)?"
_GROUP_OR_NONE = r"\s*|[^:]*[^:\s][^:]*:[^:]*[^:\s][^:]*"
_GROUPS_HELP = "texts such as 'danger: person, traffic cone', or ''"
OUTPUTS = (
    *("mask", "confidence", "overlay", "class_masks", "masks", "mask_origin"),
    *OBJECT_OUTPUTS,
)

# Said of an engine option only where it is a parameter of the node.
_NOTES = {"method": ": switch to or from it only before configure."}


def _parameters(options: Iterable[Option]) -> Iterator[Option]:
    """Engine options as parameters of the node."""
    for option in options:
        parameter = option.without_none()
        if option.name in _NOTES:
            text = parameter.description.removesuffix(".") + _NOTES[option.name]
            parameter = dataclasses.replace(parameter, description=text)
        yield parameter


SPECS: tuple[Option, ...] = (
    Option(
        "image_topics",
        ["image"],
        "Camera topics. Outputs of a single camera live under ~/, those of several under each "
        "camera's own namespace (/front/image_raw: /front/dinoiser/mask).",
        CONFIGURE,
        pattern=r"[~/A-Za-z_][~/A-Za-z0-9_{}]*",
        values_help="ROS topic names",
    ),
    Option(
        "input_type",
        "auto",
        "Message type of the camera topics: raw is sensor_msgs/Image, compressed is "
        "sensor_msgs/CompressedImage, auto looks at the topic's name and at who publishes it.",
        CONFIGURE,
        choices=("auto", "raw", "compressed"),
    ),
    *_parameters(MODEL_OPTIONS),
    Option(
        "outputs",
        list(OUTPUTS),
        "Outputs that are created. An output without a subscriber costs nothing.",
        CONFIGURE,
        choices=OUTPUTS,
    ),
    Option(
        "depth_topics",
        [""],
        "Depth registered to each camera of image_topics, 16UC1 in millimetres or 32FC1 in metres, "
        "raw or compressedDepth; '' for a camera without. A camera with depth has ~/points.",
        CONFIGURE,
        pattern=_TOPIC_OR_NONE,
        values_help="ROS topic names, or ''",
    ),
    Option(
        "camera_info_topics",
        [""],
        "Calibration of each camera with depth; its resolution may differ from the images'.",
        CONFIGURE,
        pattern=_TOPIC_OR_NONE,
        values_help="ROS topic names, or ''",
    ),
    Option(
        "obstacle_groups",
        [""],
        "Classes whose points have a topic of their own: 'danger: person, traffic cone' is "
        "~/obstacles/danger. A class that no prompt has is warned of, and used once a prompt has "
        "it.",
        CONFIGURE,
        pattern=_GROUP_OR_NONE,
        values_help=_GROUPS_HELP,
    ),
    Option(
        "ground_groups",
        [""],
        "The same for ground, from which costmaps clear: 'floor: wooden floor, carpet' is "
        "~/ground/floor.",
        CONFIGURE,
        pattern=_GROUP_OR_NONE,
        values_help=_GROUPS_HELP,
    ),
    Option(
        "autostart",
        True,
        "Configure and activate automatically; false if a lifecycle manager does it.",
        START,
    ),
    Option(
        "prompts",
        [
            "floor: wooden floor, tiled floor, concrete floor, carpet",
            "wall: white wall, brick wall",
            "person",
            "chair",
            "table",
            "door",
        ],
        "What to look for, one class for each entry; 'floor: wooden floor, carpet' is one class of "
        "several phrases; '7=person' asks for the class id 7, id_policy says what ids the others "
        "get. With maskclip+: some of the classes of its checkpoint; left at its default, all.",
    ),
    Option(
        "id_policy",
        IDS_BY_NAME,
        "Ids of the classes whose prompt asks for none. by_name: from 0 in the order of the "
        "prompts; after a change of prompts a class keeps its id, and a new one gets an id that no "
        "other class had, or had the longest time ago. by_position: the position in the list.",
        CONFIGURE,
        choices=POLICIES,
    ),
    *_parameters(FRAME_OPTIONS),
    Option(
        "mask_size",
        "image",
        "Size of ~/mask and ~/confidence, for consumers whose point cloud has another size than "
        "the image and shows the same view. Each of their pixels is the nearest one of the image. "
        "depth: the size in the camera_info of depth_topics; until one has come, and for a camera "
        "without depth, the image's.",
        pattern=f"image|depth|{_SIDE}x{_SIDE}",
        values_help="image, depth, or width x height such as 320x240, each 1 to 4096",
    ),
    Option(
        "depth_slop",
        0.05,
        "Most that the stamps of an image and of its depth may differ; the nearest depth is taken.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
    ),
    Option(
        "depth_rectified",
        "auto",
        "Whether image and depth are rectified: then P of camera_info holds, else K and the "
        "distortion; auto: if the depth topic's name says so, as in image_rect.",
        choices=("auto", "on", "off"),
    ),
    Option(
        "depth_edge",
        0.03,
        "Difference in depth, as a share of the distance, that ends a surface.",
        minimum=0.0,
        maximum=1.0,
    ),
    Option(
        "border_erosion",
        4,
        "Width of the border of a class, in pixels of the depth, that groups leave out where it "
        "is not a depth edge with the class in front; 0: leave out nothing.",
        unit="px",
        minimum=0,
        maximum=64,
    ),
    Option(
        "points_decimation",
        2,
        "One in so many rows and columns of the depth becomes points; 1: all of them.",
        unit="px",
        minimum=1,
        maximum=64,
    ),
    Option(
        "points_organized",
        False,
        "~/points in rows and columns, NaN where there is no depth; false: only points with depth.",
    ),
    *OBJECT_OPTIONS,
    Option(
        "max_rate",
        0.0,
        "Maximum number of frames segmented per second for each camera; 0: no limit.",
        unit="Hz",
        minimum=0.0,
        maximum=1000.0,
    ),
    Option(
        "rate_mode",
        "off",
        "What is published between two inferences: off: nothing; propagate: the last mask, carried "
        "to each new image along the motion in the picture, with falling confidence.",
        choices=("off", "propagate"),
    ),
    Option(
        "inference_window",
        1.0,
        "With rate_mode: propagate, the share of an image's longer side that the network gets at a "
        "time, there where the mask is least known, or half of it if that is enough; 1: whole "
        "images. Smaller windows follow turns sooner, but show the network less of the "
        "surroundings.",
        minimum=LEAST_SHARE,
        maximum=1.0,
    ),
    Option(
        "temporal",
        "off",
        "Whether masks are fused over time along the motion in the picture: off, or smooth, which "
        "flickers less.",
        choices=("off", "smooth"),
    ),
    Option(
        "run_without_subscribers",
        False,
        "Segment frames even if nobody subscribes to an output.",
    ),
    Option(
        "overlay_alpha",
        0.5,
        "Opacity of the classes' colours in the overlay.",
        minimum=0.0,
        maximum=1.0,
    ),
    Option("overlay_legend", True, "Draw the classes' names into the overlay."),
    Option(
        "warn_latency",
        2.0,
        "Diagnostics warn when the 95th percentile from image stamp to published mask is longer.",
        unit="s",
        minimum=0.0,
        maximum=3600.0,
    ),
    Option(
        "warn_drop_ratio",
        0.95,
        "Diagnostics warn when a larger share of the images is dropped for newer ones.",
        minimum=0.0,
        maximum=1.0,
    ),
    Option(
        "stalled_after",
        5.0,
        "Diagnostics report an error when images arrive but nothing is published for this long.",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
    ),
)

BY_NAME: dict[str, Option] = by_name(SPECS)


def check_values(values: Mapping[str, Any], exists: Callable[[str], bool]) -> None:
    """Raise `ParameterError` unless there are such parameters that can have these values.

    Args:
        values: new values by parameter name.
        exists: whether the node has a parameter of this name, those of ROS included.
    """
    for name, value in values.items():
        if name in BY_NAME:
            check(BY_NAME[name], value)
        elif not exists(name):
            raise ParameterError(f"there is no parameter '{name}'{did_you_mean(name, BY_NAME)}")


def mask_size(value: str, of_depth: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Height and width that the parameter `mask_size` asks for; None for the image's.

    Args:
        value: of the parameter.
        of_depth: height and width of the camera's depth; None if it has none.
    """
    if value == DEPTH_SIZE:
        return of_depth
    if value == "image":
        return None
    width, _, height = value.partition("x")
    return int(height), int(width)


def in_words(values: Mapping[str, Any]) -> str:
    """Values by name for one line of a log."""
    text = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return text if len(text) <= _LOGGED else text[: _LOGGED - 3] + "..."


def check_changes(changes: Mapping[str, Any], configured: bool) -> None:
    """Raise `ParameterError` unless all changes of one group may be made now.

    Args:
        changes: new values by parameter name; names that are not in the table are ignored.
        configured: whether the node has read the parameters of CONFIGURE already.
    """
    for name, value in changes.items():
        option = BY_NAME.get(name)
        if option is None:
            continue
        check(option, value)
        if option.when == CONFIGURE and configured:
            raise ParameterError(
                f"{name} is read at configure: run 'ros2 lifecycle set <node> cleanup' first "
                "(after 'deactivate' if the node is active), set it, then configure again."
            )
