# SPDX-License-Identifier: Apache-2.0
"""Options as parameters of a ROS node: declaring, describing, checking and reading them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.utils.option import START, Option

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node


def declare(node: Node, options: Iterable[Option]) -> dict[str, Any]:
    """Declare parameters and return their values by name.

    Args:
        node: the node that gets the parameters.
        options: each with a default other than None, see `Option.without_none`.

    Raises:
        ParameterError: a value that was given at start is not allowed.
    """
    from rclpy.exceptions import InvalidParameterValueException

    values = {}
    for option in options:
        about = descriptor(option)
        try:
            value: Any = node.declare_parameter(option.name, option.default, about).value
        except InvalidParameterValueException as error:
            raise ParameterError(
                f"{option.name} is out of range: it takes {option.takes}."
            ) from error
        check(option, value)
        values[option.name] = _plain(value)
    return values


def check(option: Option, value: object) -> None:
    """Raise `ParameterError` unless the parameter can have this value."""
    fault = option.fault(value)
    if fault is not None:
        raise ParameterError(fault)


def descriptor(option: Option) -> ParameterDescriptor:
    """The ROS description of a parameter, for `ros2 param describe` and graphical tools.

    A range is only stated if it is all that is allowed: ROS has no value beside a range. The type
    is left to `check`, whose sentence says more than "expected '3' got '2'" and which takes 1 for
    1.0.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    message = ParameterDescriptor(
        name=option.name,
        description=option.description + (f" [{option.unit}]" if option.unit else ""),
        additional_constraints=f"{option.takes}; set {option.when}",
        read_only=option.when == START,
        dynamic_typing=True,
    )
    low, high = option.minimum, option.maximum
    if low is not None and high is not None and option.special is None:
        if option.kind is float:
            floats = FloatingPointRange(from_value=low, to_value=high, step=0.0)
            message.floating_point_range = [floats]
        else:
            integers = IntegerRange(from_value=int(low), to_value=int(high), step=1)
            message.integer_range = [integers]
    return message


def values_of(parameters: Iterable[Any]) -> dict[str, Any]:
    """Rclpy parameters as plain values by name."""
    return {parameter.name: _plain(parameter.value) for parameter in parameters}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
