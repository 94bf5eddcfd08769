# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node whose state is that of its state machine, whatever clients ask for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle.node import LifecycleNodeMixin
from rclpy.node import Node

if TYPE_CHECKING:
    from lifecycle_msgs.srv import ChangeState
    from rclpy.lifecycle import TransitionCallbackReturn


class ManagedNode(LifecycleNode):
    """A lifecycle node that makes one transition at a time.

    rclpy hands every id that a client sends to the state machine, also while a transition is under
    way: then the internal ids that end a transition (10 to 92) are possible, and a client that
    sends one puts the machine into a state that the node is not in. Here a client is refused until
    the transition is over, and between two transitions internal ids are not possible.

    Args:
        name: of the node.
        kwargs: as for `rclpy.node.Node`.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        # Not LifecycleNode.__init__, which offers no callback group for the transitions' services.
        # Theirs is reentrant: get_state answers while a model is loaded.
        Node.__init__(self, name, **kwargs)
        self._reentrant = ReentrantCallbackGroup()
        self._transition = threading.Lock()
        LifecycleNodeMixin.__init__(self, callback_group=self._reentrant)
        self._change_state_unguarded = self._service_change_state.callback
        self._service_change_state.callback = self._change_state

    @property
    def _state(self) -> str:
        """Label of the state, such as "active"; during a transition, such as "configuring"."""
        label: str = self._state_machine.current_state[1]
        return label

    @property
    def finalized(self) -> bool:
        """Whether the node was shut down through its lifecycle and can do nothing more."""
        return self._state == "finalized"

    def trigger_configure(self) -> TransitionCallbackReturn:
        """As in LifecycleNode, after a transition that is under way."""
        with self._transition:
            return super().trigger_configure()

    def trigger_activate(self) -> TransitionCallbackReturn:
        """As in LifecycleNode, after a transition that is under way."""
        with self._transition:
            return super().trigger_activate()

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        """As in LifecycleNode, after a transition that is under way."""
        with self._transition:
            return super().trigger_deactivate()

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        """As in LifecycleNode, after a transition that is under way."""
        with self._transition:
            return super().trigger_cleanup()

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """As in LifecycleNode, after a transition that is under way."""
        with self._transition:
            return super().trigger_shutdown()

    def _change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        """Answer the service ~/change_state."""
        asked = request.transition.label or request.transition.id
        if not self._transition.acquire(blocking=False):
            self._refuse_transition(asked, f"the node is {self._state}: try again when it is done")
            response.success = False
            return response
        try:
            possible = {entry[0]: entry[1] for entry in self._state_machine.available_transitions}
            if asked not in (possible.values() if request.transition.label else possible):
                names = " or ".join(possible.values()) or "nothing"
                self._refuse_transition(asked, f"the node is {self._state}: it can {names}")
                response.success = False
                return response
            return self._change_state_unguarded(request, response)
        finally:
            self._transition.release()

    def _refuse_transition(self, asked: object, reason: str) -> None:
        self.get_logger().warning(
            f"transition '{asked}' refused: {reason}", throttle_duration_sec=1.0
        )
