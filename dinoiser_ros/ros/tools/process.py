# SPDX-License-Identifier: Apache-2.0
"""Running one node as a process: the same start, end and exit status for all small nodes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node


_TICK = 0.1  # seconds; how often the signals are looked at


class NodeError(Exception):
    """Why a node cannot start, in one sentence that says what to do."""


class Finished(Exception):
    """Raised in a callback to end the process with status 0; the text is logged."""


def run_node(make_node: Callable[[], Node], arguments: Sequence[str] | None = None) -> int:
    """Create a node, spin it until Ctrl-C, SIGTERM or `Finished`, and clean up.

    Args:
        make_node: creates the node; called once rclpy is initialised.
        arguments: ROS arguments of the process; None for those of the command line.

    Returns:
        The exit status: 0, or 1 after a `NodeError`, which was printed.
    """
    stop = threading.Event()
    # Own handlers: a second Ctrl-C, as launch sends it, must not interrupt the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    words = None if arguments is None else list(arguments)
    rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
    node: Node | None = None
    try:
        node = make_node()
        while rclpy.ok() and not stop.is_set():
            rclpy.spin_once(node, timeout_sec=_TICK)
    except Finished as reason:
        if node is not None:
            node.get_logger().info(str(reason))
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
