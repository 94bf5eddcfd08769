# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node `dinoiser`: wires parameters, services, diagnostics and the pipeline."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.lifecycle.node import LifecycleNodeMixin
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from dinoiser_ros.ros.parameter_declaration import declare, values_of

from . import engine, parameters
from .diagnostics import NodeReport, diagnostics_message
from .services import Services
from .session import Pipeline, SupersededError
from .throttled_log import ThrottledLog

DIAGNOSTICS_PERIOD = 1.0  # seconds
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SegmentNode(LifecycleNode):
    """Open-vocabulary segmentation of camera topics.

    Needs a MultiThreadedExecutor: a transition that loads a model must not hold services up.

    Raises:
        ParameterError: a parameter given at start has a value that it cannot take.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Not LifecycleNode.__init__, which offers no callback group for the transitions' services.
        # Theirs is reentrant: get_state answers while a model is loaded, and the state machine
        # refuses a transition while another one is under way.
        Node.__init__(self, "dinoiser", **kwargs)
        self._reentrant = ReentrantCallbackGroup()
        LifecycleNodeMixin.__init__(self, callback_group=self._reentrant)
        self._pipeline: Pipeline | None = None
        self._state = "unconfigured"
        self._configuring = False
        self._failed = False
        self._last_error = ""
        self._changing = threading.Lock()
        self._refused: Counter[str] = Counter()
        self._log = ThrottledLog(self._warn)
        self._start_values = declare(self, parameters.SPECS)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._service_servers = Services(
            self, lambda: self._pipeline, self._keep_prompts, self._refuse
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._every(DIAGNOSTICS_PERIOD, self._publish_diagnostics)
        self._autostart_timer = None
        if self._start_values["autostart"]:
            self._autostart_timer = self._every(0.01, self._autostart)

    @property
    def finalized(self) -> bool:
        """Whether the node was shut down through its lifecycle and can do nothing more."""
        return self._state == "finalized"

    def close(self, timeout: float) -> None:
        """Stop working, for the end of the process; wait at most `timeout` seconds."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close(timeout)

    # -- lifecycle -------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; on failure the node stays unconfigured and says why."""
        self._state, self._configuring = "configuring", True
        try:
            self._configure()
        except Exception as error:  # whatever it is, the node stays and can be configured again
            self._fail(f"configure failed: {error}")
            self._state = "unconfigured"
            engine.free_device_memory()
            return FAILURE
        finally:
            self._configuring = False
        self._state, self._failed = "inactive", False
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to segment."""
        self._pipeline.activate()
        self._state, self._failed = "active", False
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop; nothing is published once this returned."""
        self._pipeline.deactivate()
        self._state = "inactive"
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give the model, its memory and the topics back."""
        self._free()
        self._state = "unconfigured"
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state; the process ends a moment later."""
        self.close(1.0)
        engine.free_device_memory()
        self._state = "finalized"
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Whatever failed, the node can be configured again."""
        self._fail(self._last_error or "a transition failed")
        self._free()
        self._state = "unconfigured"
        return SUCCESS

    def _configure(self) -> None:
        values = self._values()
        self.get_logger().info(f"loading model '{values['model']}'")
        start = time.monotonic()
        segmenter = engine.load_segmenter(values)
        with self._changing:
            pipeline = Pipeline(self, segmenter, values, self._note, self._on_device_lost)
            # What was set while the model was being loaded.
            late = {name: value for name, value in self._values().items() if value != values[name]}
            self._pipeline = pipeline
        if late:
            self._watch(pipeline, pipeline.change(late), values["prompts"])
        engine.spare_collections()
        self.get_logger().info(
            f"model '{segmenter.model_name}' on {segmenter.device} ({segmenter.precision}) in "
            f"{time.monotonic() - start:.1f} s; {len(segmenter.classes)} classes; "
            f"cameras: {', '.join(camera.topic for camera in pipeline.cameras)}"
        )

    def _every(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """A timer of a steady clock: with use_sim_time, the simulation may not have started."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        return self.create_timer(seconds, callback, callback_group=self._reentrant, clock=clock)

    def _free(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()
        del pipeline
        engine.free_device_memory()

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        if self._state != "unconfigured":  # a lifecycle manager was faster
            return
        if self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def _on_device_lost(self, sentence: str) -> None:
        """Go back to unconfigured, from the executor: the inference thread calls this."""
        self._fail(sentence)
        timer: list[Timer] = []

        def leave() -> None:
            timer[0].cancel()
            try:
                if self._state == "active":
                    self.trigger_deactivate()
                if self._state == "inactive":
                    self.trigger_cleanup()
            except Exception as error:  # a lifecycle manager was faster
                self._note("lifecycle", f"a transition was not possible: {error}")

        timer.append(self._every(0.01, leave))

    # -- parameters ------------------------------------------------------------------------------

    def _values(self) -> dict[str, Any]:
        return values_of(self.get_parameters([spec.name for spec in parameters.SPECS]))

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        """Accept or refuse a group as a whole; applied between two frames, embedding included."""
        changes = {
            name: value for name, value in values_of(changed).items() if name in parameters.BY_NAME
        }
        future = None
        with self._changing:
            pipeline = self._pipeline
            try:
                parameters.check_changes(changes, pipeline is not None or self._configuring)
                if pipeline is not None:
                    if changes.get("prompts") == pipeline.prompts:
                        del changes["prompts"]  # ~/set_prompts has done it
                    pipeline.check(changes)
            except ValueError as error:  # ParameterError, PromptError, OptionError
                self._refuse("parameters", str(error))
                return SetParametersResult(successful=False, reason=str(error))
            if pipeline is not None and changes:
                before = pipeline.prompts
                future = pipeline.change(changes)
        if future is not None:
            self._watch(pipeline, future, before)
        return SetParametersResult(successful=True)

    def _watch(self, pipeline: Pipeline, future: Future, prompts: list[str]) -> None:
        """Report a change that failed after all (no memory for the embeddings, ...)."""

        def done(finished: Future) -> None:
            error = finished.exception()
            if error is None or isinstance(error, SupersededError):
                return
            self._note("change", f"parameters could not be applied: {error}")
            pipeline.abandon_prompts(prompts)
            self._keep_prompts(prompts)

        future.add_done_callback(done)

    def _keep_prompts(self, prompts: list[str]) -> None:
        """Bring the parameter `prompts` in step with what is in use."""
        self.set_parameters([Parameter("prompts", Parameter.Type.STRING_ARRAY, prompts)])

    # -- what went wrong, and how it goes ---------------------------------------------------------

    def _note(self, kind: str, sentence: str) -> None:
        self._last_error = sentence
        self._log(kind, sentence)

    def _refuse(self, kind: str, sentence: str) -> None:
        self._refused[kind] += 1
        self._note(kind, f"{kind} refused: {sentence}")

    def _fail(self, sentence: str) -> None:
        self._last_error, self._failed = sentence, True
        self.get_logger().error(sentence)

    def _warn(self, sentence: str) -> None:
        self.get_logger().warning(sentence)

    def _publish_diagnostics(self) -> None:
        pipeline = self._pipeline
        details: dict[str, Any] = {"model": self.get_parameter("model").value}
        settings, cameras = {}, []
        if pipeline is not None:
            segmenter, settings = pipeline.segmenter, pipeline.settings
            details["model"] = segmenter.model_name
            details["method"] = segmenter.method
            details["device"] = str(segmenter.device)
            details["precision"] = segmenter.precision
            details["classes"] = len(segmenter.classes)
            cameras = [(camera.topic, camera.statistics) for camera in pipeline.cameras]
            for camera in pipeline.cameras:
                camera.follow_type()
        details.update({f"refused_{kind}": count for kind, count in self._refused.items()})
        report = NodeReport(
            self.get_fully_qualified_name(), self._state, self._last_error, self._failed, details
        )
        self._diagnostics.publish(
            diagnostics_message(
                self.get_clock().now().to_msg(), report, cameras, settings, time.monotonic()
            )
        )
