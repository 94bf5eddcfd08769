# SPDX-License-Identifier: Apache-2.0
"""Starting without a lifecycle manager: again and again, until it works or somebody else does it.

What stops a robot at boot is often gone a minute later: the network, a disk, a GPU's driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .timers import call_later

if TYPE_CHECKING:
    from rclpy.callback_groups import CallbackGroup
    from rclpy.node import Node

FIRST_WAIT, LONGEST_WAIT = 2.0, 120.0  # seconds; each wait is twice the one before


class Autostart:
    """Tries to configure and activate a node, with growing intervals.

    Args:
        node: its timers are used, and its log says when the next try is.
        may_start: whether the node is unconfigured and nobody else has made a transition.
        start: configures and activates; whether it worked.
        group: of the timers' callbacks.
        first_wait: seconds between the first two tries.

    Attributes:
        next_in: seconds from the last failure to the next try; None if there is none.
    """

    def __init__(
        self,
        node: Node,
        may_start: Callable[[], bool],
        start: Callable[[], bool],
        group: CallbackGroup,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self.next_in: float | None = None
        self._node, self._group = node, group
        self._may_start, self._start = may_start, start
        self._wait = first_wait
        call_later(node, 0.01, self._try, group)

    def _try(self) -> None:
        self.next_in = None
        if not self._may_start():
            return  # a lifecycle manager was faster
        try:
            if self._start():
                return
        except Exception as error:  # rclpy's, for a transition that somebody else has just made
            self._node.get_logger().warning(f"the start was interrupted: {error}")
        self.next_in, self._wait = self._wait, min(2 * self._wait, LONGEST_WAIT)
        self._node.get_logger().warning(
            f"the start is tried again in {self.next_in:g} s, since 'autostart' is true"
        )
        call_later(self._node, self.next_in, self._try, self._group)
