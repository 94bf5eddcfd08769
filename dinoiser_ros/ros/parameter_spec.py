# SPDX-License-Identifier: Apache-2.0
"""What a parameter of a node may be: its description, validation, declaration and table row.

`check` answers for every way in (start, `ros2 param set`, parameter files) with one sentence that
names the parameter and says what it takes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dinoiser_ros.errors import ParameterError

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node

# When a parameter may be set.
START = "at start"
CONFIGURE = "before configure"
RUNNING = "any time"

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Spec:
    """One parameter.

    Attributes:
        name: its ROS name.
        default: its default; also gives the type.
        description: what it does, for `ros2 param describe` and the README.
        when: START (never changes), CONFIGURE (only while unconfigured) or RUNNING.
        unit: of a number, "" for none.
        minimum, maximum: inclusive range of a number.
        choices: the texts that a text, or each entry of a list, may be; empty for any.
        special: a number outside the range that is allowed too, with a meaning of its own.
        pattern: regular expression that a text has to match as a whole, and
        pattern_help: what that means in words.
        may_be_empty: whether a list may have no entry.
    """

    name: str
    default: Value
    description: str
    when: str = RUNNING
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    special: float | None = None
    pattern: str = ""
    pattern_help: str = ""
    may_be_empty: bool = False


def check(spec: Spec, value: Any) -> None:
    """Raise `ParameterError` unless `value` is one that the parameter can take."""
    kind = type(spec.default)
    accepted = {float: (float, int), list: (list, tuple)}.get(kind, (kind,))
    if type(value) not in accepted:
        raise ParameterError(
            f"{spec.name} has to be {_type_name(spec)}, not {type(value).__name__} {_short(value)}."
        )
    if kind in (int, float):
        _check_number(spec, value)
    elif kind is str:
        _check_text(spec, value)
    elif kind is list:
        _check_list(spec, value)


def declare(node: Node, specs: Iterable[Spec]) -> dict[str, Any]:
    """Declare the parameters and return their values; raises `ParameterError` for a bad one."""
    from rclpy.exceptions import InvalidParameterValueException

    values = {}
    for spec in specs:
        try:
            value = node.declare_parameter(spec.name, spec.default, descriptor(spec)).value
        except InvalidParameterValueException as error:
            raise ParameterError(
                f"{spec.name} is out of range: it takes {_takes(spec)}."
            ) from error
        check(spec, value)
        values[spec.name] = _plain(value)
    return values


def descriptor(spec: Spec) -> ParameterDescriptor:
    """The ROS description of a parameter, for `ros2 param describe` and graphical tools.

    A range is only stated where it is whole: ROS knows no value beside a range. The type is left to
    `check`, which says more than "expected '3' got '2'" and takes 1 for 1.0.
    """
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    message = ParameterDescriptor(
        name=spec.name,
        description=spec.description + (f" [{spec.unit}]" if spec.unit else ""),
        additional_constraints=f"{_takes(spec)}; set {spec.when}",
        read_only=spec.when == START,
        dynamic_typing=True,
    )
    if spec.minimum is not None and spec.special is None:
        if isinstance(spec.default, float):
            bounds = FloatingPointRange(from_value=spec.minimum, to_value=spec.maximum, step=0.0)
            message.floating_point_range = [bounds]
        else:
            bounds = IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
            message.integer_range = [bounds]
    return message


def values_of(parameters: Iterable[Any]) -> dict[str, Any]:
    """Rclpy parameters as plain values by name."""
    return {parameter.name: _plain(parameter.value) for parameter in parameters}


def markdown_table(specs: Iterable[Spec]) -> str:
    """The parameters as a Markdown table, for the README."""
    lines = ["| parameter | default | values | set | meaning |", "|---|---|---|---|---|"]
    for spec in specs:
        unit = f" {spec.unit}" if spec.unit else ""
        cells = (f"`{spec.name}`", f"{_shown(spec.default)}{unit}", _takes(spec), spec.when)
        cells = (*cells, spec.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _check_number(spec: Spec, value: float) -> None:
    if value == spec.special:
        return
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    if not low <= value <= high:  # written so that NaN fails
        raise ParameterError(f"{spec.name} cannot be {value}: it takes {_takes(spec)}.")


def _check_text(spec: Spec, value: str) -> None:
    fits = not spec.choices or value in spec.choices
    if not fits or (spec.pattern and not re.fullmatch(spec.pattern, value)):
        raise ParameterError(f"{spec.name} cannot be {_short(value)}: it takes {_takes(spec)}.")


def _check_list(spec: Spec, value: Iterable[Any]) -> None:
    entries = list(value)
    if not entries and not spec.may_be_empty:
        raise ParameterError(f"{spec.name} is empty: give at least one entry.")
    for entry in entries:
        if not isinstance(entry, str):
            raise ParameterError(f"{spec.name} has to be {_type_name(spec)}.")
        _check_text(spec, entry)


def _takes(spec: Spec) -> str:
    """What a parameter takes, in words."""
    if spec.choices:
        listed = ", ".join(spec.choices)
        return f"a list of: {listed}" if isinstance(spec.default, list) else f"one of: {listed}"
    if spec.pattern_help:
        return spec.pattern_help
    if spec.minimum is not None:
        special = "" if spec.special is None else f"{spec.special:g}, or "
        return f"{special}{spec.minimum:g} to {spec.maximum:g}"
    return _type_name(spec)


def _type_name(spec: Spec) -> str:
    names: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a decimal point",
        str: "a text",
        list: "a list of texts",
    }
    return names[type(spec.default)]


def _shown(value: Value) -> str:
    """A value as it is written in a parameters file."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{entry}"' for entry in value) + "]`"
    return f"`{value}`" if value != "" else '`""`'


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
