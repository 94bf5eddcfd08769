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
    from launch.actions import DeclareLaunchArgument
    from launch_ros.actions import Node

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    found, waiting = [], list(description.entities)
    while waiting:
        entity = waiting.pop(0)
        if isinstance(entity, Node):
            found.append(entity)
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


@pytest.mark.parametrize("name", ["segment", "demo"])
def test_arguments_are_documented(name: str) -> None:
    description = load(name).generate_launch_description()
    for argument in description.get_launch_arguments():
        assert argument.description
    assert {"model", "prompts", "namespace", "params_file", "autostart"} <= declared(description)


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
