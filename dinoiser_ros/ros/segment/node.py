# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `dinoiser`: wires parameters, services, diagnostics and the session."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.parameter_declaration import (
    declare,
    in_declared_types,
    unknown_parameters,
    values_of,
)
from dinoiser_ros.ros.segment.lifecycle.autostart import Autostart
from dinoiser_ros.ros.segment.lifecycle.bond import ManagerBond
from dinoiser_ros.ros.segment.lifecycle.managed_node import ManagedNode
from dinoiser_ros.ros.segment.lifecycle.timers import call_every, call_soon
from dinoiser_ros.ros.segment.monitoring.diagnostics import (
    NodeReport,
    diagnostics_message,
    segmenter_details,
)
from dinoiser_ros.ros.segment.monitoring.problems import Problems
from dinoiser_ros.ros.segment.monitoring.statistics import CameraStatistics
from dinoiser_ros.ros.segment.teaching.teach_services import TeachServices

from . import engine, parameters
from .inference import memory
from .parameter_changes import SupersededError
from .services import Services
from .session import Session

DIAGNOSTICS_PERIOD = 1.0  # seconds
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentNode(ManagedNode):
    """Open-vocabulary segmentation of camera topics.

    Needs a MultiThreadedExecutor: a transition that loads a model must not block services.

    Raises:
        ParameterError: a parameter given at start has a value that it cannot take.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("dinoiser", **kwargs)
        self._session: Session | None = None
        self._configuring = False
        self._changing = threading.Lock()
        self._problems = Problems(self.get_logger())
        self._bond = ManagerBond(self, self._problems.note)
        start_values = declare(self, parameters.SPECS)
        unknown = unknown_parameters(self)
        if unknown:
            self._problems.note("parameters", unknown)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        Services(self, lambda: self._session, self._prompts_changed, self._problems.refuse)
        TeachServices(self, lambda: self._session, self._problems.refuse)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        call_every(self, DIAGNOSTICS_PERIOD, self._publish_diagnostics, self._reentrant)
        self._autostart: Autostart | None = None
        if start_values["autostart"]:
            self._autostart = Autostart(
                self, lambda: self._state == "unconfigured", self._start, self._reentrant
            )

    def close(self, timeout: float) -> None:
        """Stop working, for the end of the process; wait at most `timeout` seconds."""
        self._bond.break_()
        session, self._session = self._session, None
        if session is not None:
            session.close(timeout)

    # -- lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; on failure the node stays unconfigured and says why."""
        self._configuring = True
        try:
            self._configure()
        except Exception as error:  # whatever it is, the node stays and can be configured again
            self._problems.fail(f"configure failed: {error}")
            memory.free_device_memory()
            return FAILURE
        finally:
            self._configuring = False
        self._problems.failed = False
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Segment from now on."""
        self._configured().activate()
        self._bond.form()
        self._problems.failed = False
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop; nothing is published once this has returned."""
        self._bond.break_()
        self._configured().deactivate()
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model, its memory and the topics back."""
        self._free()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state; the process ends a moment later."""
        self.close(1.0)
        memory.free_device_memory()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Whatever failed, the node can be configured again."""
        self._problems.fail(self._problems.last_error or "a transition failed")
        self._free()
        return SUCCESS

    def _configure(self) -> None:
        values = self._values()
        self.get_logger().info(f"loading model '{values['model']}'")
        start = time.monotonic()
        segmenter = engine.load_segmenter(values)
        with self._changing:
            session = Session(self, segmenter, values, self._problems.note, self._on_device_lost)
            # What was set while the model was being loaded.
            late = {name: value for name, value in self._values().items() if value != values[name]}
            self._session = session
        if late:
            self._watch(session, session.changes.request(late), values["prompts"])
        memory.spare_collections()
        self.get_logger().info(
            f"model '{segmenter.model_name}' on {segmenter.device} ({segmenter.precision}) in "
            f"{time.monotonic() - start:.1f} s; {len(segmenter.classes)} classes; "
            f"cameras: {', '.join(camera.topic for camera in session.cameras)}"
        )

    def _configured(self) -> Session:
        """The session of a node that is inactive or active."""
        if self._session is None:
            raise RuntimeError("the node is not configured")
        return self._session

    def _free(self) -> None:
        self._bond.break_()
        session, self._session = self._session, None
        if session is not None:
            session.close()
        del session
        memory.free_device_memory()

    def _start(self) -> bool:
        return self.trigger_configure() == SUCCESS == self.trigger_activate()

    def _on_device_lost(self, sentence: str) -> None:
        """Go back to unconfigured, from the executor: the inference thread calls this."""
        self._problems.fail(sentence)
        call_soon(self, self._leave, self._reentrant)

    def _leave(self) -> None:
        """Go back to unconfigured."""
        try:
            if self._state == "active":
                self.trigger_deactivate()
            if self._state == "inactive":
                self.trigger_cleanup()
        except Exception as error:  # a lifecycle manager was faster
            self._problems.note("lifecycle", f"a transition was not possible: {error}")

    # -- parameters ------------------------------------------------------------------------------

    def _values(self) -> dict[str, Any]:
        return values_of(self.get_parameters([spec.name for spec in parameters.SPECS]))

    def set_parameters(self, parameter_list: list[Parameter[Any]]) -> list[SetParametersResult]:
        """Set parameters one by one, see `set_parameters_atomically`."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(
        self, parameter_list: list[Parameter[Any]]
    ) -> SetParametersResult:
        """Set parameters together, in the types they were declared with: 1 is 1.0 to gamma."""
        typed = in_declared_types(parameters.BY_NAME, parameter_list)
        try:
            # rclpy would answer "expected 'Type.DOUBLE' got 'Type.STRING'", or raise.
            parameters.check_values(values_of(typed), self.has_parameter)
        except ParameterError as error:
            return self._refuse_parameters(error)
        return super().set_parameters_atomically(typed)

    def _refuse_parameters(self, error: Exception) -> SetParametersResult:
        self._problems.refuse("parameters", str(error))
        return SetParametersResult(successful=False, reason=str(error))

    def _on_set_parameters(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        """Accept or refuse a group as a whole; applied between two frames, embedding included."""
        changes = {
            name: value for name, value in values_of(changed).items() if name in parameters.BY_NAME
        }
        with self._changing:
            session = self._session
            try:
                parameters.check_changes(changes, session is not None or self._configuring)
                if session is not None:
                    if changes.get("prompts") == session.changes.prompts:
                        del changes["prompts"]  # ~/set_prompts has done it
                    session.changes.check(changes)
            except ValueError as error:  # ParameterError, PromptError, OptionError
                return self._refuse_parameters(error)
            if changes:
                self.get_logger().info(f"parameters set: {parameters.in_words(changes)}")
            if session is None or not changes:
                return SetParametersResult(successful=True)
            before = session.changes.prompts
            future = session.changes.request(changes)
        self._watch(session, future, before)
        return SetParametersResult(successful=True)

    def _watch(self, session: Session, future: Future[Any], prompts: list[str]) -> None:
        """Report a change that fails after all (no memory for the embeddings, ...)."""

        def done(finished: Future[Any]) -> None:
            error = finished.exception()
            if error is None or isinstance(error, SupersededError):
                return
            self._problems.note("change", f"parameters could not be applied: {error}")
            session.changes.abandon_prompts(prompts)
            self._keep_prompts(prompts)

        future.add_done_callback(done)

    def _prompts_changed(self, prompts: list[str]) -> None:
        """After ~/set_prompts succeeded."""
        self.get_logger().info(f"prompts set: {parameters.in_words({'prompts': prompts})}")
        self._keep_prompts(prompts)

    def _keep_prompts(self, prompts: list[str]) -> None:
        """Bring the parameter `prompts` in step with what is in use."""
        self.set_parameters([Parameter("prompts", Parameter.Type.STRING_ARRAY, prompts)])

    # -- diagnostics -----------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        session = self._session
        details: dict[str, Any] = {"model": self.get_parameter("model").value}
        settings: Mapping[str, Any] = {}
        cameras: list[tuple[str, CameraStatistics]] = []
        if session is not None:
            settings = session.settings
            details.update(segmenter_details(session.segmenter))
            cameras = [(camera.topic, camera.statistics) for camera in session.cameras]
            for camera in session.cameras:
                camera.follow_type()
                if camera.points is not None:
                    camera.points.follow()
        if self._autostart is not None and self._autostart.next_in is not None:
            details["next_start_in_s"] = self._autostart.next_in
        details.update({f"refused_{kind}": count for kind, count in self._problems.refused.items()})
        report = NodeReport(
            self.get_fully_qualified_name(),
            self._state,
            self._problems.last_error,
            self._problems.failed,
            details,
        )
        self._diagnostics.publish(
            diagnostics_message(
                self.get_clock().now().to_msg(), report, cameras, settings, time.monotonic()
            )
        )
