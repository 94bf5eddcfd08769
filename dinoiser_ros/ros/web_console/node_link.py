# SPDX-License-Identifier: Apache-2.0
"""The segmentation node as the console sees it: parameters, prompts and diagnostics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    ListParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import qos_profile_parameter_events

from dinoiser_ros.errors import RequestError
from dinoiser_ros.srv import (
    Forget,
    GetExamples,
    GetProbabilities,
    GetPrompts,
    SetPrompts,
    Teach,
)
from dinoiser_ros.web.backend import Diagnostic, Parameter, State

from .descriptions import TYPES, camera_topics, diagnostics_of, parameter_of

if TYPE_CHECKING:
    from rclpy.node import Node

PERIOD = 0.5  # seconds between looks at whether the node is there
_PATIENCE = 5.0  # seconds: an answer, or a sign of life, that takes longer is lost
CHANGE_TIMEOUT = 120.0  # seconds; embedding many prompts takes long on a CPU
PROBABILITIES_TIMEOUT = 60.0
_OF_ROS = ("use_sim_time", "qos_overrides", "start_type_description_service")
_SERVICES = {
    "list": (ListParameters, "list_parameters"),
    "describe": (DescribeParameters, "describe_parameters"),
    "get": (GetParameters, "get_parameters"),
    "set": (SetParametersAtomically, "set_parameters_atomically"),
    "get_prompts": (GetPrompts, "get_prompts"),
    "set_prompts": (SetPrompts, "set_prompts"),
    "probabilities": (GetProbabilities, "get_probabilities"),
    "teach": (Teach, "teach"),
    "forget": (Forget, "forget"),
    "examples": (GetExamples, "get_examples"),
}


class NodeLink:
    """Follows one segmentation node, over its topics and services alone.

    Callbacks run in the executor's thread; `change` and `call` wait in the caller's.

    Args:
        node: what clients and subscriptions belong to.
        name: of the segmentation node, fully qualified.
        changed: called after each change of `state`.
    """

    def __init__(self, node: Node, name: str, changed: Callable[[], None]) -> None:
        self._name = name
        self._changed = changed
        self._clients: dict[str, Any] = {
            key: node.create_client(kind, f"{name}/{service}")
            for key, (kind, service) in _SERVICES.items()
        }
        self._descriptors: list[Any] = []
        self._values: dict[str, RosParameter[Any]] = {}
        self._classes: tuple[tuple[int, str], ...] = ()
        self._examples: tuple[tuple[str, int], ...] = ()
        self._diagnostics: tuple[Diagnostic, ...] = ()
        self._heard = 0.0  # monotonic seconds of the last diagnostics, 0.0 for none
        self._loaded = False
        self._due = True  # whether something has to be read again
        self._asked = 0.0  # monotonic seconds of the question that is open, 0.0 for none
        self._run = 0  # an answer to an older run is not used
        self._state = State(name, about=f"The node {name} is not there: waiting for it.")
        node.create_subscription(
            ParameterEvent, "/parameter_events", self._on_event, qos_profile_parameter_events
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        node.create_timer(PERIOD, self._look)

    @property
    def state(self) -> State:
        """What is known now."""
        return self._state

    # -- for the server's threads ----------------------------------------------------------------

    def change(self, values: Mapping[str, Any]) -> None:
        """Change parameters together; raises RequestError if the node refuses."""
        if set(values) == {"prompts"} and self._lifecycle() != "unconfigured":
            asked = SetPrompts.Request(prompts=list(values["prompts"]))
            answer = self.call("set_prompts", asked, CHANGE_TIMEOUT)
            if not answer.success:
                raise RequestError(answer.message)
        else:
            kinds = {entry.name: entry.kind for entry in self._state.parameters}
            group = [
                RosParameter(name, TYPES[kinds[name]], value).to_parameter_msg()
                for name, value in values.items()
            ]
            asked = SetParametersAtomically.Request(parameters=group)
            result = self.call("set", asked, CHANGE_TIMEOUT).result
            if not result.successful:
                raise RequestError(result.reason)
        self._due = True

    def change_examples(self, key: str, request: Any) -> int:
        """Teach or forget; how many examples the class has then.

        Args:
            key: "teach" or "forget".

        Raises:
            RequestError: the node refuses.
        """
        answer = self.call(key, request, CHANGE_TIMEOUT)
        if not answer.success:
            raise RequestError(answer.message)
        self._due = True
        return int(answer.examples)

    def call(self, key: str, request: Any, timeout: float) -> Any:
        """The answer of one of the node's services.

        Args:
            key: of `_SERVICES`.
            timeout: seconds.

        Raises:
            RequestError: there is no such service, or no answer in time.
        """
        client = self._clients[key]
        if not client.service_is_ready():
            raise RequestError(f"The node {self._name} is not there: nothing was changed.")
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(timeout):
            client.remove_pending_request(future)
            raise RequestError(f"The node {self._name} did not answer within {timeout:.0f} s.")
        return future.result()

    # -- in the executor -------------------------------------------------------------------------

    def _on_event(self, message: ParameterEvent) -> None:
        if message.node == self._name:
            self._due = True
            if message.new_parameters:  # it was started anew, perhaps with another version
                self._loaded = False
            self._look()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        found = diagnostics_of(message, self._name)
        if found:
            before = self._lifecycle(), self._value("examples")
            self._diagnostics = found
            self._heard = time.monotonic()
            # Its classes exist from configure on, and others may teach it, too.
            self._due |= before != (self._lifecycle(), self._value("examples"))
            self._publish()

    def _look(self) -> None:
        """Find out whether the node is there, and read what has to be read."""
        now = time.monotonic()
        there = self._clients["get_prompts"].service_is_ready()
        if not there:
            self._loaded, self._due, self._asked = False, True, 0.0
            self._run += 1
        elif self._due and (not self._asked or now - self._asked > _PATIENCE):
            self._due = False
            self._asked = now
            self._run += 1
            if self._loaded:
                self._read_values()
            else:
                self._ask("list", ListParameters.Request(), self._describe)
        self._publish()

    def _ask(self, key: str, request: Any, then: Callable[[Any], None]) -> None:
        """Ask without waiting; `then` gets the answer, unless it comes too late."""
        run = self._run

        def done(future: Any) -> None:
            answer = None if future.cancelled() else future.result()
            if run == self._run and answer is not None:
                then(answer)

        self._clients[key].call_async(request).add_done_callback(done)

    def _describe(self, answer: Any) -> None:
        names = [name for name in answer.result.names if name.partition(".")[0] not in _OF_ROS]
        self._ask("describe", DescribeParameters.Request(names=names), self._keep_descriptors)

    def _keep_descriptors(self, answer: Any) -> None:
        self._descriptors = list(answer.descriptors)
        self._read_values()

    def _read_values(self) -> None:
        names = [entry.name for entry in self._descriptors]
        self._ask("get", GetParameters.Request(names=names), self._keep_values)

    def _keep_values(self, answer: Any) -> None:
        from rcl_interfaces.msg import Parameter as ParameterMessage

        self._values = {
            entry.name: RosParameter.from_parameter_msg(
                ParameterMessage(name=entry.name, value=value)
            )
            for entry, value in zip(self._descriptors, answer.values, strict=False)
        }
        self._ask("get_prompts", GetPrompts.Request(), self._keep_prompts)

    def _keep_prompts(self, answer: Any) -> None:
        self._classes = tuple(zip(answer.class_ids, answer.class_names, strict=False))
        if self._clients["examples"].service_is_ready():
            self._ask("examples", GetExamples.Request(), self._keep_examples)
        else:  # it is of an older version
            self._end_reading()

    def _keep_examples(self, answer: Any) -> None:
        self._examples = tuple(zip(answer.names, answer.counts, strict=False))
        self._end_reading()

    def _end_reading(self) -> None:
        self._loaded = True
        self._asked = 0.0
        self._publish()
        if self._due:
            self._look()

    def _lifecycle(self) -> str:
        """The node's lifecycle state, as far as diagnostics tell."""
        return self._value("state")

    def _value(self, key: str) -> str:
        """What diagnostics say of the node, "" for nothing."""
        node = next((entry for entry in self._diagnostics if entry.part == "node"), None)
        return "" if node is None else str(node.values.get(key, ""))

    def _publish(self) -> None:
        state = self._current()
        if state != self._state:
            self._state = state
            self._changed()

    def _current(self) -> State:
        silent = time.monotonic() - self._heard if self._heard else 0.0
        lifecycle = self._lifecycle()
        connected, about = True, ""
        if not self._clients["get_prompts"].service_is_ready():
            connected, about = False, f"The node {self._name} is not there: waiting for it."
        elif not self._loaded:
            connected, about = False, f"Reading the parameters of {self._name}."
        elif silent > _PATIENCE:
            connected = False
            about = f"The node {self._name} gives no sign of life. Is it still running?"
        elif lifecycle not in ("active", ""):
            message = next(entry.message for entry in self._diagnostics if entry.part == "node")
            about = (
                f"The node {self._name} is not active, so there are no masks. It says: {message}"
            )
        return State(
            self._name,
            connected,
            about,
            camera_topics(self._diagnostics) or self._state.cameras,
            self._classes,
            self._parameters(lifecycle == "unconfigured"),
            self._diagnostics,
            self._examples,
        )

    def _parameters(self, unconfigured: bool) -> tuple[Parameter, ...]:
        found = []
        for descriptor in self._descriptors:
            value = self._values.get(descriptor.name)
            entry = None if value is None else parameter_of(descriptor, value, unconfigured)
            if entry is not None:
                found.append(entry)
        return tuple(found)
