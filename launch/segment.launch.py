# SPDX-License-Identifier: Apache-2.0
"""Starts the segmentation node.

    ros2 launch dinoiser_ros segment.launch.py image:=/camera/image_raw prompts:="[floor, person]"

An argument that is left empty keeps the value of the parameters file or the node's default, which
stand in config/ and in the node and are not repeated here.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from dinoiser_ros.ros.launch_arguments import check_names, existing_file, typed

# Launch arguments that are parameters of the node, with their type.
PARAMETERS = {
    "model": (str, "vit-b-16 for real cameras, demo for the simulated world, or a file's path"),
    "weights": (str, "path of the CLIP weights; empty: the model's own"),
    "heads": (str, "path of the CLIP-DINOiser heads; empty: the model's own"),
    "prompts": (list, "what to look for, as a YAML list: [floor, person, 'traffic cone']"),
    "image_topics": (list, "several cameras, as a YAML list; for one, use the argument image"),
    "depth_topics": (list, "registered depth of each camera, as a YAML list; '' for none"),
    "camera_info_topics": (list, "calibration of each camera with depth, as a YAML list"),
    "obstacle_groups": (list, "clouds of obstacles: ['danger: person, traffic cone']"),
    "ground_groups": (list, "clouds of ground: ['floor: wooden floor, carpet']"),
    "method": (str, "dinoiser, maskclip, cliper, a variant of them, or maskclip+"),
    "device": (str, "auto, cpu, cuda or cuda:<n>"),
    "autostart": (bool, "true: configure and activate automatically; false: a manager does it"),
}


# Launch arguments that are parameters of the web console, with their name there and their type.
WEB_PARAMETERS = {
    "web_address": ("address", str, "IP address of the web page: localhost, or 0.0.0.0 for all"),
    "web_port": ("port", int, "TCP port of the web page"),
    "web_token": ("token", str, "what the link to the web page has to contain; empty: made up"),
    "web_control": ("control", bool, "false: viewers of the web page may only look"),
}

# Launch arguments that are not: their text and their default.
OTHERS = {
    "web": ("true: serve a web page for the node, at the address that is printed", "false"),
    "image": ("camera topic, raw or compressed; empty: 'image'", ""),
    "namespace": ("namespace of the node and its relative topics", ""),
    "params_file": ("parameters file, such as config/segment.yaml; arguments given here win", ""),
    "log_level": ("debug, info, warn, error or fatal", "info"),
}


def make_node(context) -> list[Node]:
    """Create the node's action once the arguments are known."""
    warn = get_logger("segment.launch").warning

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context).strip()

    known = [*PARAMETERS, *OTHERS, *WEB_PARAMETERS]
    check_names(__file__, context.launch_configurations, known, warn)
    given = {
        name: as_parameter(typed(name, kind, value(name), warn))
        for name, (kind, _) in PARAMETERS.items()
        if value(name)
    }
    parameters = [given] if given else []
    if value("params_file"):
        parameters.insert(0, existing_file("params_file", value("params_file")))
    common = {
        "package": "dinoiser_ros",
        "namespace": value("namespace"),
        "arguments": ["--ros-args", "--log-level", value("log_level")],
        "output": "screen",
        "emulate_tty": True,
    }
    node = Node(
        executable="segment_node",
        name="dinoiser",
        parameters=parameters,
        remappings=[("image", value("image"))] if value("image") else [],
        **common,
    )
    if not typed("web", bool, value("web")):
        return [node]
    web = {
        parameter: as_parameter(typed(name, kind, value(name)))
        for name, (parameter, kind, _) in WEB_PARAMETERS.items()
        if value(name)
    }
    console = Node(
        executable="web_console",
        name="web_console",
        parameters=[web] if web else [],
        **common,
    )
    return [node, console]


def as_parameter(value: str | bool | int | list[str]) -> ParameterValue | bool | int:
    """A value for the node that launch does not read as YAML again: '7' stays a text."""
    if isinstance(value, (bool, int)):
        return value
    return ParameterValue(value, value_type=list[str] if isinstance(value, list) else str)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    defaults = {**OTHERS, **{name: (about, "") for name, (_, about) in PARAMETERS.items()}}
    defaults |= {name: (about, "") for name, (_, _, about) in WEB_PARAMETERS.items()}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=about)
        for name, (about, default) in defaults.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
