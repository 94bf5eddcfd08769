# SPDX-License-Identifier: Apache-2.0
"""Starts a simulated robot that drives by the clouds of the segmentation node, and that node.

    ros2 launch dinoiser_ros drive.launch.py rooms:=3

Namespace and ROS domain are the drive's own: a robot's nodes neither hear of it nor answer it.
"""

from pathlib import Path

from ament_index_python.packages import get_package_prefix
from launch import Action, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    UnsetLaunchConfiguration,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration

from dinoiser_ros.ros.domain import own_domain
from dinoiser_ros.ros.drive.shared_memory import profile
from dinoiser_ros.ros.launch_arguments import check_names

HERE = Path(__file__).resolve().parent
ARGUMENTS = {
    "namespace": ("dinoiser_drive", "namespace of robot and node"),
    "domain": ("own", "ROS domain of the drive; own: a free one, which is printed"),
    "params_file": ("", "parameters file of the segmentation node; empty: config/drive.yaml"),
    "rooms": ("1", "how many rooms the robot drives through"),
    "first": ("0", "number of the first room"),
    "latency": ("", "simulated seconds from an image to its clouds; empty: as long as they took"),
    "output": ("drive_output", "folder for the film and its pictures"),
}


def set_domain(context) -> list[Action]:
    """Move what is started afterwards to the drive's domain, and say how to follow it there."""
    value = {name: LaunchConfiguration(name).perform(context).strip() for name in ARGUMENTS}
    included = segment().launch_description_source.get_launch_description(context)
    known = [*ARGUMENTS, *(argument.name for argument in included.get_launch_arguments())]
    check_names(__file__, context.launch_configurations, known, get_logger("drive.launch").warning)
    domain = str(own_domain()) if value["domain"] == "own" else value["domain"]
    topic = f"/{value['namespace'].strip('/')}/dinoiser/obstacles/danger"
    variables = {"ROS_DOMAIN_ID": domain, **profile()}
    said = f"in another terminal: ROS_DOMAIN_ID={domain} ros2 topic hz {topic}"
    return [
        *(SetEnvironmentVariable(name, text) for name, text in variables.items()),
        LogInfo(msg=said),
    ]


def drive(context) -> list[Action]:
    """The robot; everything ends with it."""
    value = {name: LaunchConfiguration(name).perform(context).strip() for name in ARGUMENTS}
    program = Path(get_package_prefix("dinoiser_ros"), "lib", "dinoiser_ros", "drive")
    words = ["--namespace", "/" + value["namespace"].strip("/")]
    for name in ("rooms", "first", "latency", "output"):
        if value[name]:
            words += [f"--{name}", value[name]]
    over = Shutdown(reason="the drive is over")
    return [ExecuteProcess(cmd=[str(program), *words], output="screen", on_exit=[over])]


def node(context) -> list[Action]:
    """The segmentation node with its parameters."""
    given = LaunchConfiguration("params_file").perform(context).strip()
    file = given or str(HERE.parent / "config" / "drive.yaml")
    # It would take the arguments of this file for misspelt ones of its own.
    mine = set(ARGUMENTS) - {"namespace", "params_file"}
    hidden = [UnsetLaunchConfiguration(name) for name in sorted(mine)]
    return [GroupAction([*hidden, segment({"params_file": file})], scoped=True, forwarding=True)]


def segment(arguments: dict[str, str] | None = None) -> IncludeLaunchDescription:
    """The node. Its other arguments (method, device, ...) are those of this launch file, too."""
    source = PythonLaunchDescriptionSource(str(HERE / "segment.launch.py"))
    return IncludeLaunchDescription(source, launch_arguments=(arguments or {}).items())


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the processes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=about)
        for name, (default, about) in ARGUMENTS.items()
    ]
    # In a group, so that a launch file that includes this one keeps its own domain.
    started = [OpaqueFunction(function=step) for step in (set_domain, node, drive)]
    return LaunchDescription([*declared, GroupAction(started, scoped=True, forwarding=True)])
