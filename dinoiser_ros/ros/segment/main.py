# SPDX-License-Identifier: Apache-2.0
"""The executable `segment_node`: a process around the node that ends quickly and quietly."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.process_arguments import Program, asks_for_help, prepared
from dinoiser_ros.utils.closed_output import end_with_reader
from dinoiser_ros.utils.sentences import first_line

from .parameters import SPECS

PROGRAM = Program(
    "segment_node",
    "dinoiser",
    "Open-vocabulary segmentation of camera topics with CLIP-DINOiser, as a lifecycle node.",
    SPECS,
)
END_TIMEOUT = 1.5  # seconds from the signal until the process is gone, whatever a thread still does
TICK = 0.1  # seconds; how often the signals are looked at
THREADS = 8  # callbacks that may wait at once: transitions, three services, parameters, cameras
LINGER = 1.0  # seconds that a node shut down by its lifecycle still answers get_state
BAD_PARAMETER = 2  # exit status


@end_with_reader()
def main(args: list[str] | None = None) -> int:
    """Run the node until Ctrl-C, SIGTERM or its lifecycle's shutdown; returns the exit status."""
    if asks_for_help(args):
        print(PROGRAM.usage())
        return 0
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        _end_within(END_TIMEOUT)

    # Before the imports below, which take a moment: no signal may end in a traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)

    # A service's answer takes Python's lock a dozen times; by default each may wait 5 ms.
    sys.setswitchinterval(0.0005)

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from .node import SegmentNode

    try:
        with prepared(PROGRAM, args) as words:
            rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
            node = SegmentNode()
    except ParameterError as error:
        print(f"segment_node: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return BAD_PARAMETER
    except rclpy.exceptions.ROSInterruptException:
        return 0
    except Exception as error:  # rcl cannot read the arguments or the parameters file
        print(f"segment_node: {first_line(error, 500)}", file=sys.stderr)
        return BAD_PARAMETER
    _spin(node, stop)
    _end(node)
    return 0


def _spin(node: Any, stop: threading.Event) -> None:
    """Run callbacks until a signal, the end of the ROS context, or a finalized lifecycle."""
    import rclpy
    from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

    executor = MultiThreadedExecutor(num_threads=THREADS)
    executor.add_node(node)
    finalized_at = None
    while rclpy.ok() and not stop.is_set():
        try:
            executor.spin_once(timeout_sec=TICK)
        except (KeyboardInterrupt, ExternalShutdownException):
            return
        except Exception as error:
            # An entity that was destroyed while it was waited for (rclpy#1355), or a callback's
            # error: the node goes on either way.
            _report(node, error)
            time.sleep(0.01)
        if node.finalized:
            finalized_at = finalized_at or time.monotonic()
            if time.monotonic() - finalized_at > LINGER:
                return


def _report(node: Any, error: Exception) -> None:
    if type(error).__name__ != "InvalidHandle":
        node.get_logger().error(
            f"a callback failed: {type(error).__name__}: {error}", throttle_duration_sec=5.0
        )


def _end(node: Any) -> None:
    """Close everything within `END_TIMEOUT`; what still runs then ends with the process."""
    import rclpy

    _end_within(END_TIMEOUT)
    with contextlib.suppress(Exception):
        node.close(END_TIMEOUT / 2)
    with contextlib.suppress(Exception):
        node.destroy_node()
    with contextlib.suppress(Exception):
        rclpy.shutdown()
    # Threads of torch or of a pool may still be at work, and the interpreter would wait for them.
    _leave()


def _end_within(seconds: float) -> None:
    """End the process by then, whatever its threads are doing."""
    watchdog = threading.Timer(seconds, _leave)
    watchdog.daemon = True
    watchdog.start()


def _leave() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed by whoever read it
            stream.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
