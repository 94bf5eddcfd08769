# SPDX-License-Identifier: Apache-2.0
"""Running one node as a process: the same start, end and exit status for all small nodes."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.parameter_declaration import unknown_parameters
from dinoiser_ros.ros.process_arguments import Program, asks_for_help, prepared
from dinoiser_ros.utils.closed_output import end_with_reader

if TYPE_CHECKING:
    from rclpy.node import Node


_TICK = 0.1  # seconds; how often the signals are looked at


class NodeError(Exception):
    """Why a node cannot start, in one sentence that says what to do."""


class Finished(Exception):
    """Raised in a callback to end the process with status 0; the text is logged."""


@end_with_reader()
def run_node(
    program: Program, make_node: Callable[[], Node], arguments: Sequence[str] | None = None
) -> int:
    """Create a node, spin it until Ctrl-C, SIGTERM or `Finished`, and clean up.

    Args:
        program: what --help says.
        make_node: creates the node; called once rclpy is initialised.
        arguments: ROS arguments of the process; None for those of the command line.

    Returns:
        The exit status: 0, or 1 after a `NodeError` or a `ParameterError`, which was printed.
    """
    if asks_for_help(arguments):
        print(program.usage())
        return 0
    stop = threading.Event()
    # Own handlers: a second Ctrl-C, as launch sends it, must not interrupt the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    node: Node | None = None
    try:
        with prepared(program, arguments) as words:
            rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
            node = make_node()
        unknown = unknown_parameters(node)
        if unknown:
            node.get_logger().warning(unknown)
        while rclpy.ok() and not stop.is_set():
            rclpy.spin_once(node, timeout_sec=_TICK)
    except Finished as reason:
        if node is not None:
            node.get_logger().info(str(reason))
    except (NodeError, ParameterError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
