# SPDX-License-Identifier: Apache-2.0
"""Timers on a steady clock, since with use_sim_time the simulation may not have started."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

# Humble has ClockType in this module only; later releases do not declare it as part of it.
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined, unused-ignore]

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.node import Node
    from rclpy.timer import Timer


def call_every(
    node: Node, seconds: float, callback: Callable[[], None], group: CallbackGroup
) -> Timer:
    """Run a callback again and again, in the executor."""
    clock = Clock(clock_type=ClockType.STEADY_TIME)
    return node.create_timer(seconds, callback, callback_group=group, clock=clock)


def call_soon(node: Node, callback: Callable[[], None], group: CallbackGroup) -> None:
    """Run a callback once, in the executor."""
    call_later(node, 0.01, callback, group)


def call_later(
    node: Node, seconds: float, callback: Callable[[], None], group: CallbackGroup
) -> None:
    """Run a callback once, in the executor, some seconds from now."""
    timers: list[Timer] = []

    def run() -> None:
        timers[0].cancel()
        node.destroy_timer(timers[0])
        callback()

    timers.append(call_every(node, seconds, run, group))
