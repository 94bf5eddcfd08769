# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated camera and the segmentation node with the embedded model.

    ros2 launch dinoiser_ros demo.launch.py viewer:=true

Namespace and ROS domain are the demo's own: a robot's nodes neither hear of it nor answer it.
"""

from pathlib import Path

from launch import Action, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from dinoiser_ros.ros.domain import own_domain
from dinoiser_ros.ros.launch_arguments import check_names

ARGUMENTS = {
    "namespace": ("dinoiser_demo", "namespace of camera and node"),
    "domain": ("own", "ROS domain of the demo; own: a free one, which is printed"),
    "model": ("demo", "the embedded model knows the simulated world, and nothing else"),
    "rate": ("10.0", "frames per second of the simulated camera"),
    "seed": ("0", "which world is simulated"),
    "recorded": ("false", "true: show the shipped held-out frames instead of rendering"),
    "viewer": ("false", "true: show the overlay in a window"),
}


def set_domain(context) -> list[Action]:
    """Move what is started afterwards to the demo's domain, and say how to follow it there."""
    value = {name: LaunchConfiguration(name).perform(context).strip() for name in ARGUMENTS}
    included = segment().launch_description_source.get_launch_description(context)
    known = [*ARGUMENTS, *(argument.name for argument in included.get_launch_arguments())]
    check_names(__file__, context.launch_configurations, known, get_logger("demo.launch").warning)
    domain = str(own_domain()) if value["domain"] == "own" else value["domain"]
    topic = f"/{value['namespace']}/dinoiser/mask".replace("//", "/")
    said = f"in another terminal: ROS_DOMAIN_ID={domain} ros2 topic hz {topic}"
    return [SetEnvironmentVariable("ROS_DOMAIN_ID", domain), LogInfo(msg=said)]


def segment() -> IncludeLaunchDescription:
    """The node. Its other arguments (prompts, method, ...) are those of this launch file, too."""
    path = Path(__file__).with_name("segment.launch.py")
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the processes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=about)
        for name, (default, about) in ARGUMENTS.items()
    ]
    camera = Node(
        package="dinoiser_ros",
        executable="sim_camera",
        name="sim_camera",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "recorded": ParameterValue(LaunchConfiguration("recorded"), value_type=bool),
            }
        ],
        output="screen",
    )
    viewer = Node(
        package="dinoiser_ros",
        executable="viewer",
        namespace=LaunchConfiguration("namespace"),
        remappings=[("image", "dinoiser/overlay")],
        condition=IfCondition(LaunchConfiguration("viewer")),
        output="screen",
    )
    # In a group, so that a launch file that includes this one keeps its own domain.
    started = [OpaqueFunction(function=set_domain), segment(), camera, viewer]
    return LaunchDescription([*declared, GroupAction(started, scoped=True, forwarding=True)])
