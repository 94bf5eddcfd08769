# SPDX-License-Identifier: Apache-2.0
"""Starts the segmentation node.

    ros2 launch dinoiser_ros segment.launch.py image:=/camera/image_raw prompts:="[floor, person]"

An argument that is left empty keeps the value of the parameters file or the node's default, which
stand in config/ and in the node and are not repeated here.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

# Launch arguments that are parameters of the node, with their type.
PARAMETERS = {
    "model": (str, "vit-b-16 for real cameras, demo for the simulated world, or a file's path"),
    "weights": (str, "path of the CLIP weights; empty: the model's own"),
    "heads": (str, "path of the CLIP-DINOiser heads; empty: the model's own"),
    "prompts": (list, "what to look for, as a YAML list: [floor, person, 'traffic cone']"),
    "image_topics": (list, "several cameras, as a YAML list; for one, use the argument image"),
    "method": (str, "dinoiser, maskclip, cliper, a variant of them, or maskclip+"),
    "device": (str, "auto, cpu, cuda or cuda:<n>"),
    "autostart": (bool, "true: configure and activate automatically; false: a manager does it"),
}


def make_node(context) -> list[Node]:
    """Create the node's action once the arguments are known."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context).strip()

    given = {name: typed(name, value(name)) for name in PARAMETERS if value(name)}
    parameters = ([value("params_file")] if value("params_file") else []) + [given]
    return [
        Node(
            package="dinoiser_ros",
            executable="segment_node",
            name="dinoiser",
            namespace=value("namespace"),
            parameters=[entry for entry in parameters if entry],
            remappings=[("image", value("image"))] if value("image") else [],
            arguments=["--ros-args", "--log-level", value("log_level")],
            output="screen",
            emulate_tty=True,
        )
    ]


def typed(name: str, text: str) -> str | bool | list[str]:
    """A launch argument as the parameter's type; raises ValueError for one that is not."""
    import yaml

    kind = PARAMETERS[name][0]
    if kind is str:
        return text
    value = yaml.safe_load(text)
    if kind is list and isinstance(value, str):
        return [value]
    if not isinstance(value, kind) or (kind is list and not value):
        wanted = "true or false" if kind is bool else "a list such as [floor, person]"
        raise ValueError(f"the launch argument {name} has to be {wanted}, not '{text}'")
    return [str(entry) for entry in value] if kind is list else value


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = {
        "image": "camera topic, raw or compressed; empty: 'image'",
        "namespace": "namespace of the node and its relative topics",
        "params_file": "parameters file, such as config/segment.yaml; arguments override it",
        "log_level": "debug, info, warn, error or fatal",
        **{name: about for name, (_, about) in PARAMETERS.items()},
    }
    defaults = {"log_level": "info"}
    declared = [
        DeclareLaunchArgument(name, default_value=defaults.get(name, ""), description=about)
        for name, about in arguments.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=make_node)])
