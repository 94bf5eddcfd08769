# SPDX-License-Identifier: Apache-2.0
"""The launch files, where the ROS 2 package `launch` is (it is not on PyPI)."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from paths import ROOT

from dinoiser_ros.errors import ParameterError

LAUNCH = ROOT / "launch"

pytest.importorskip("launch", reason="needs the ROS 2 package `launch`")
pytest.importorskip("launch_ros", reason="needs the ROS 2 package `launch_ros`")


def load(name: str) -> ModuleType:
    """A launch file as a module."""
    path = LAUNCH / f"{name}.launch.py"
    spec = importlib.util.spec_from_file_location(f"{name}_launch", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nodes(description: object, **arguments: str) -> list:
    """The nodes that a description starts, with launch arguments given."""
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, ExecuteProcess
    from launch_ros.actions import Node

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found, waiting = [], list(description.entities)
    while waiting:
        entity = waiting.pop(0)
        if isinstance(entity, Node):
            found.append(entity)
        elif isinstance(entity, ExecuteProcess):
            continue
        elif isinstance(entity, DeclareLaunchArgument) or not hasattr(entity, "visit"):
            entity.execute(context)
        else:
            waiting = [*(entity.visit(context) or []), *waiting]
    for node in found:
        node._perform_substitutions(context)
    return found


def declared(description: object) -> set[str]:
    """Names of all launch arguments."""
    return {argument.name for argument in description.get_launch_arguments()}


@pytest.mark.parametrize("name", ["segment", "demo", "drive"])
def test_arguments_are_documented(name: str) -> None:
    description = load(name).generate_launch_description()
    for argument in description.get_launch_arguments():
        assert argument.description
    wanted = {"namespace", "params_file"}
    # The node's launch file is included where the drive's parameters file is known.
    wanted |= {"rooms", "latency"} if name == "drive" else {"model", "prompts", "autostart"}
    assert wanted <= declared(description)


def test_segment_starts_the_node_with_what_was_given() -> None:
    module = load("segment")
    (node,) = nodes(
        module.generate_launch_description(),
        image="/camera/image_raw",
        prompts="[floor, 'traffic cone']",
        autostart="false",
        namespace="robot",
    )
    assert node.node_executable == "segment_node"
    assert node.node_name == "/robot/dinoiser"
    assert node.expanded_remapping_rules == [("image", "/camera/image_raw")]


def test_web_starts_the_console_beside_the_node() -> None:
    given = {"web": "true", "web_address": "0.0.0.0", "web_control": "false", "namespace": "robot"}
    node, console = nodes(load("segment").generate_launch_description(), **given)
    assert (node.node_executable, console.node_executable) == ("segment_node", "web_console")
    assert console.node_name == "/robot/web_console"


def test_demo_starts_camera_and_node() -> None:
    started = nodes(load("demo").generate_launch_description())
    assert [node.node_executable for node in started][:2] == ["segment_node", "sim_camera"]


def test_texts_reach_the_node_as_they_were_written() -> None:
    """launch reads parameters as YAML unless it is told their type."""
    from launch import LaunchContext

    module = load("segment")
    for value in ("007", "off", ["7", "yes", "floor: wooden floor, carpet"]):
        assert module.as_parameter(value).evaluate(LaunchContext()) == value


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"promts": "[floor]"}, "no launch argument 'promts': did you mean 'prompts'"),
        ({"params_file": "/nowhere/x.yaml"}, "/nowhere/x.yaml: there is no such file"),
        ({"prompts": "[floor, yes]"}, r"write \['floor', 'yes'\]"),
    ],
)
def test_wrong_arguments_start_nothing(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "dinoiser_ros", "segment.launch.py"])
    with pytest.raises(ParameterError, match=sentence):
        nodes(load("segment").generate_launch_description(), **given)


def test_the_demo_has_a_namespace_and_a_domain_of_its_own() -> None:
    from launch import LaunchContext

    started = nodes(load("demo").generate_launch_description())
    assert {node.node_name for node in started[:2]} == {
        "/dinoiser_demo/dinoiser",
        "/dinoiser_demo/sim_camera",
    }
    module, context = load("demo"), LaunchContext()
    context.launch_configurations.update({"namespace": "a", "domain": "own", "model": "demo"})
    for name in ("rate", "seed", "recorded", "viewer"):
        context.launch_configurations[name] = ""
    domain, _ = module.set_domain(context)
    domain.execute(context)
    assert context.environment["ROS_DOMAIN_ID"] not in ("", "0")


def test_drive_starts_the_node_with_its_parameters_and_ends_with_the_robot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from launch import LaunchContext

    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "dinoiser_ros", "drive.launch.py"])
    (node,) = nodes(load("drive").generate_launch_description(), rooms="3", latency="0.5")
    assert node.node_name == "/dinoiser_drive/dinoiser"
    assert "no launch argument" not in capsys.readouterr().out
    module, context = load("drive"), LaunchContext()
    values = {name: default for name, (default, _) in module.ARGUMENTS.items()}
    context.launch_configurations.update({**values, "rooms": "3", "latency": "0.5"})
    (robot,) = module.drive(context)
    words = ["".join(part.perform(context) for part in word) for word in robot.cmd]
    assert words[1:7] == ["--namespace", "/dinoiser_drive", "--rooms", "3", "--first", "0"]
    assert words[7:] == ["--latency", "0.5", "--output", "drive_output"]
    for action in module.set_domain(context)[:-1]:
        action.execute(context)
    assert context.environment["ROS_DOMAIN_ID"] not in ("", "0")
    with pytest.raises(ParameterError, match="did you mean 'rooms'"):
        nodes(load("drive").generate_launch_description(), romms="3")
