# SPDX-License-Identifier: Apache-2.0
"""The launch files, where the ROS 2 package `launch` is (it is not on PyPI)."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from paths import ROOT

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


def test_demo_starts_camera_and_node() -> None:
    started = nodes(load("demo").generate_launch_description())
    assert [node.node_executable for node in started][:2] == ["segment_node", "sim_camera"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("prompts", "[floor, 'traffic cone']", ["floor", "traffic cone"]),
        ("prompts", "person", ["person"]),
        ("prompts", "[1, true]", ["1", "True"]),
        ("autostart", "false", False),
        ("model", "vit-b-16", "vit-b-16"),
    ],
)
def test_arguments_become_parameters(name: str, text: str, value: object) -> None:
    assert load("segment").typed(name, text) == value


@pytest.mark.parametrize(("name", "text"), [("prompts", "[]"), ("autostart", "perhaps")])
def test_a_wrong_argument_is_said(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"launch argument {name} has to be"):
        load("segment").typed(name, text)
