# SPDX-License-Identifier: Apache-2.0
"""What other nodes' messages say, as the values that the web server speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import Image

from dinoiser_ros.errors import ImageMessageError
from dinoiser_ros.messages.decode import rows_of_bytes
from dinoiser_ros.utils.option import CONFIGURE
from dinoiser_ros.web.backend import Diagnostic, Parameter

_KINDS = {
    RosParameter.Type.BOOL: "bool",
    RosParameter.Type.INTEGER: "int",
    RosParameter.Type.DOUBLE: "float",
    RosParameter.Type.STRING: "str",
    RosParameter.Type.STRING_ARRAY: "list",
}
TYPES = {kind: entry for entry, kind in _KINDS.items()}


def parameter_of(
    descriptor: ParameterDescriptor, value: RosParameter[Any], unconfigured: bool
) -> Parameter | None:
    """A parameter as the page shows it; None for types that no parameter of the node has.

    Args:
        unconfigured: whether the node is, so that what is read at configure can be set.
    """
    if value.type_ not in _KINDS:
        return None
    kind = _KINDS[value.type_]
    takes = descriptor.additional_constraints
    listed = re.match(r"one of: ([^;]*)", takes)
    ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
    at_configure = takes.endswith(f"set {CONFIGURE}")
    return Parameter(
        descriptor.name,
        kind,
        list(value.value) if kind == "list" else value.value,
        descriptor.description,
        takes,
        ranges[0].from_value if ranges else None,
        ranges[0].to_value if ranges else None,
        tuple(listed.group(1).split(", ")) if listed and kind == "str" else (),
        not descriptor.read_only and (unconfigured or not at_configure),
    )


def diagnostics_of(message: DiagnosticArray, node_name: str) -> tuple[Diagnostic, ...]:
    """The statuses of one node; () if the message is another's.

    Args:
        node_name: fully qualified.
    """
    name = node_name.lstrip("/")
    return tuple(
        Diagnostic(
            status.name.removeprefix(f"{name}: "),
            min(int.from_bytes(status.level, "little"), 3),
            status.message,
            {entry.key: entry.value for entry in status.values},
        )
        for status in message.status
        if status.hardware_id == name and status.name.startswith(f"{name}: ")
    )


def camera_topics(diagnostics: Iterable[Diagnostic]) -> tuple[str, ...]:
    """The cameras that a node's diagnostics speak of, in their order."""
    return tuple(entry.part for entry in diagnostics if entry.part.startswith("/"))


def depth_at(message: Image, x: float, y: float) -> float | None:
    """The distance along the optical axis at a place of a depth image (REP-118).

    Args:
        message: 16UC1 in millimetres or 32FC1 in metres.
        x, y: 0 to 1 from the left and the upper edge.

    Returns:
        Metres; None where the camera measured none, or the message is no depth image.
    """
    kinds = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
    height, width, step = message.height, message.width, message.step
    if message.encoding not in kinds or not height or not width:
        return None
    kind = np.dtype((">" if message.is_bigendian else "<") + kinds[message.encoding])
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    place = row * step + column * kind.itemsize
    if step < width * kind.itemsize or place + kind.itemsize > len(message.data):
        return None
    value = float(
        np.frombuffer(message.data, np.uint8)[place : place + kind.itemsize].view(kind)[0]
    )
    metres = value / 1000.0 if kind.kind == "u" else value
    return round(metres, 3) if 0.0 < metres < float("inf") else None


def plain_pixels(message: Image) -> np.ndarray:
    """The (H, W) values of a mask or confidence, mono8 or mono16.

    Raises:
        ImageMessageError: the message is something else, or shorter than it says.
    """
    types = {"mono8": "u1", "mono16": ">u2" if message.is_bigendian else "<u2"}
    if message.encoding not in types:
        raise ImageMessageError("encoding", f"a mask is {message.encoding}: it has to be mono8.")
    kind = np.dtype(types[message.encoding])
    rows = rows_of_bytes(message, message.height, message.width * kind.itemsize)
    pixels = np.ascontiguousarray(rows).view(kind)
    return pixels.astype(kind.newbyteorder("=")) if kind.itemsize > 1 else pixels
