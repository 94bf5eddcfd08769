# SPDX-License-Identifier: Apache-2.0
"""What programs share that start a segmentation node, watch it, and end with a line of figures."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.node import Node

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


def stop_at_signals() -> threading.Event:
    """A flag that Ctrl-C and SIGTERM set.

    An exception could come after a child was started and before it is registered.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def spin_until(
    node: Node, check: Callable[[], None], until: Callable[[], bool], seconds: float
) -> bool:
    """Handle messages until a condition holds or the time is over; returns the condition.

    Args:
        node: whose messages are handled.
        check: called often; raises an exception to end it.
        until: the condition.
        seconds: the time.
    """
    import rclpy

    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        check()
        rclpy.spin_once(node, timeout_sec=0.05)
    return until()


def reported_failure(message: DiagnosticArray, node: str) -> str:
    """Why a segmentation node cannot work, by its own word; "" if the message does not say so.

    Args:
        node: its fully qualified name without the first slash, as diagnostics name it.
    """
    from diagnostic_msgs.msg import DiagnosticStatus

    for status in message.status:
        if status.name == f"{node}: node" and status.level == DiagnosticStatus.ERROR:
            return str(status.message)
    return ""
