# SPDX-License-Identifier: Apache-2.0
"""Nav2's lifecycle manager knows by a bond that the node is alive, where bondpy is there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

TOPIC = "bond"  # as in nav2_util::LifecycleNode and nav2_lifecycle_manager, in their namespace
HEARTBEAT_PERIOD = 0.25  # seconds; the manager's default patience is 4 s
HEARTBEAT_TIMEOUT = 4.0  # seconds


class ManagerBond:
    """One end of a bond; Nav2's lifecycle manager holds the other.

    Nav2's own nodes make theirs in on_activate and break it in on_deactivate. A bond without a
    manager ends by itself after ten seconds and means nothing. Without bondpy nothing is done.

    Args:
        node: the bond's id is the node's name, which is what the manager's `node_names` hold.
        report: called with ("bond", sentence) if bondpy fails; the node goes on without a bond.
    """

    def __init__(self, node: Node, report: Callable[[str, str], None]) -> None:
        self._node = node
        self._report = report
        self._bond: Any = None

    def form(self) -> None:
        """Begin to send heartbeats, unless it is done already."""
        if self._bond is not None:
            return
        try:
            from bondpy.bondpy import Bond
        except ImportError:
            return
        try:
            bond = Bond(TOPIC, self._node.get_name(), self._node)
            bond.set_heartbeat_period(HEARTBEAT_PERIOD)
            bond.set_heartbeat_timeout(HEARTBEAT_TIMEOUT)
            bond.start()
        except Exception as error:  # another version of bondpy: a bond is no reason to stop
            self._report("bond", f"no bond to a lifecycle manager: {error}")
            return
        self._bond = bond

    def break_(self) -> None:
        """Tell the manager that the node goes, which it takes as intended, and send no more."""
        bond, self._bond = self._bond, None
        if bond is None:
            return
        try:
            bond.shutdown()
        except Exception as error:
            self._report("bond", f"the bond to the lifecycle manager did not end well: {error}")
        # bondpy destroys both without the node's knowledge, which would keep them in its lists.
        with contextlib.suppress(Exception):
            self._node.destroy_subscription(bond.sub)
        with contextlib.suppress(Exception):
            self._node.destroy_publisher(bond.pub)
