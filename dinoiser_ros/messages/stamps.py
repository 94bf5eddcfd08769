# SPDX-License-Identifier: Apache-2.0
"""Stamps of messages as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time


def nanoseconds_of(stamp: Time) -> int:
    """A stamp in nanoseconds."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def stamp_of(message: Any) -> int:
    """The stamp in a message's header, in nanoseconds."""
    return nanoseconds_of(message.header.stamp)
