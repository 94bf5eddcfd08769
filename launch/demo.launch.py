# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated camera and the segmentation node with the embedded model.

ros2 launch dinoiser_ros demo.launch.py viewer:=true
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "model": ("demo", "the embedded model knows the simulated world, and nothing else"),
    "rate": ("10.0", "frames per second of the simulated camera"),
    "seed": ("0", "which world is simulated"),
    "recorded": ("false", "true: show the shipped held-out frames instead of rendering"),
    "viewer": ("false", "true: show the overlay in a window"),
}


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
    # Its other arguments (prompts, namespace, ...) are those of this launch file, too.
    segment = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(Path(__file__).with_name("segment.launch.py")))
    )
    viewer = Node(
        package="dinoiser_ros",
        executable="viewer",
        namespace=LaunchConfiguration("namespace"),
        remappings=[("image", "dinoiser/overlay")],
        condition=IfCondition(LaunchConfiguration("viewer")),
        output="screen",
    )
    return LaunchDescription([*declared, segment, camera, viewer])
