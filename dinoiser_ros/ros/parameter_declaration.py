# SPDX-License-Identifier: Apache-2.0
"""Options as parameters of a ROS node: declaring, describing, checking and reading them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.utils.option import START, Option, did_you_mean

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node
    from rclpy.parameter import Parameter

_OF_ROS = ("use_sim_time", "qos_overrides", "start_type_description_service")


def declare(node: Node, options: Iterable[Option]) -> dict[str, Any]:
    """Declare parameters and return their values by name.

    Args:
        node: the node that gets the parameters.
        options: each with a default other than None, see `Option.without_none`.

    Raises:
        ParameterError: a value that was given at start is not allowed.
    """
    values = {}
    given = _overrides(node)
    for option in options:
        # Looked at before rclpy does, whose sentence would be "expected 'Type.DOUBLE' got
        # 'Type.INTEGER'", and which does not take 1 for 1.0.
        value = option.in_its_type(given.get(option.name, option.default))
        check(option, value)
        node.declare_parameter(option.name, value, descriptor(option), ignore_override=True)
        values[option.name] = value
    return values


def unknown_parameters(node: Node) -> str:
    """Which parameters given at start the node does not have, in a sentence; "" for none.

    Raises:
        ParameterError: one of them is what ROS makes of a mapping: prompts.floor.
    """
    declared = list(node.get_parameters_by_prefix(""))
    unknown = [name for name in _overrides(node) if not node.has_parameter(name)]
    unknown = [name for name in unknown if name.partition(".")[0] not in _OF_ROS]
    for name in unknown:
        parent = name.partition(".")[0]
        if parent in declared:
            raise ParameterError(
                f"there is no parameter '{name}'{did_you_mean(name, declared)} ROS makes it of a "
                f"mapping in {parent}: put each entry of the list in quotes"
            )
    if not unknown:
        return ""
    listed = ", ".join(f"'{name}'{did_you_mean(name, declared)}" for name in unknown)
    return f"parameters that this node does not have were given and are ignored: {listed}"


def check(option: Option, value: object) -> None:
    """Raise `ParameterError` unless the parameter can have this value."""
    fault = option.fault(value)
    if fault is not None:
        raise ParameterError(fault)


def in_declared_types(
    options: dict[str, Option], parameters: Iterable[Parameter[Any]]
) -> list[Parameter[Any]]:
    """New values in the types that the parameters were declared with, see `Option.in_its_type`."""
    from rclpy.parameter import Parameter

    typed = []
    for parameter in parameters:
        option = options.get(parameter.name)
        value = parameter.value if option is None else option.in_its_type(parameter.value)
        same = isinstance(value, list) or value is parameter.value
        typed.append(parameter if same else Parameter(parameter.name, value=value))
    return typed


def descriptor(option: Option) -> ParameterDescriptor:
    """The ROS description of a parameter, for `ros2 param describe` and graphical tools.

    ROS has no value beside a range: a range that a special value lies outside of is stated with all
    in between, and `additional_constraints` says exactly what is allowed, as `check` has it.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    message = ParameterDescriptor(
        name=option.name,
        description=option.description + (f" [{option.unit}]" if option.unit else ""),
        additional_constraints=f"{_constraint(option)}; set {option.when}",
        read_only=option.when == START,
    )
    low, high = option.minimum, option.maximum
    if low is not None and high is not None:
        if option.special is not None:
            low, high = min(low, option.special), max(high, option.special)
        if option.kind is float:
            floats = FloatingPointRange(from_value=low, to_value=high, step=0.0)
            message.floating_point_range = [floats]
        else:
            integers = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            message.integer_range = [integers]
    return message


def _constraint(option: Option) -> str:
    """What a parameter takes, in words; tools make a menu of "one of: a, b"."""
    if option.choices and option.kind is str:
        return f"one of: {', '.join(option.choices)}"
    return option.takes


def values_of(parameters: Iterable[Any]) -> dict[str, Any]:
    """Rclpy parameters as plain values by name."""
    return {parameter.name: _plain(parameter.value) for parameter in parameters}


def _overrides(node: Node) -> dict[str, Any]:
    """The parameters that were given at start; rclpy offers them under no public name."""
    return values_of(node._parameter_overrides.values())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
