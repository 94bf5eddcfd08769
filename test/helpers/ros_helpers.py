# SPDX-License-Identifier: Apache-2.0
"""The node in a process of its own, and a client that talks to it over real topics and services.

Whatever is waited for is a condition with a generous time-out, so that a loaded machine is only
slower.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from forked_process import ForkedProcess
from paths import GOLDEN

from dinoiser_ros.ros.domain import isolate_ros

TIMEOUT = 120.0  # seconds; reached only when something is broken
ASK_AGAIN = 10.0  # seconds, for questions whose answer got lost
GOLDEN_MODEL = {
    "model": str(GOLDEN / "golden-small.json"),
    "weights": str(GOLDEN / "clip.safetensors"),
    "heads": str(GOLDEN / "heads.safetensors"),
    "device": "cpu",
    "offline": True,
    "inference_size": 64,
}

WITH_DEPTH = {  # further parameters of a node that has all topics there are
    "depth_topics": ["depth"],
    "camera_info_topics": ["camera_info"],
    "obstacle_groups": ["danger: person"],
    "ground_groups": ["floor: floor"],
}


def wait_until(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Wait until `condition()` is true and return it; fails with `what` otherwise."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {timeout:.0f} s")


class NodeProcess:
    """`segment_node` in a process of its own; use as a context manager.

    Args:
        parameters: ROS parameters by name, beside the golden model's.
        program: Python code that runs the node, if not the node as it is.
        imported: whether the process starts with PyTorch and the node imported: seconds earlier.
        remappings: from-to pairs of names.
    """

    def __init__(
        self,
        parameters: dict[str, Any] | None = None,
        program: str | None = None,
        imported: bool = True,
        **remappings: str,
    ) -> None:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)  # noqa: SIM115
        with self._file as file:
            file.write("/**:\n  ros__parameters:\n")
            for name, value in {**GOLDEN_MODEL, **(parameters or {})}.items():
                file.write(f"    {name}: {_yaml(value)}\n")
        arguments = ["--ros-args", "--params-file", self._file.name]
        for name, target in remappings.items():
            arguments += ["-r", f"{name}:={target}"]
        isolate_ros()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RCUTILS_COLORIZED_OUTPUT": "0"}
        self._log: list[str] = []
        start = ForkedProcess if imported else _from_scratch
        self.process = start(program or _RUN, arguments, environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return "".join(self._log)

    def stop(self, number: int = signal.SIGINT) -> float:
        """Send a signal and wait for the end; returns how long that took, in seconds."""
        start = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(TIMEOUT)
        elapsed = time.monotonic() - start
        self._reader.join(TIMEOUT)
        Path(self._file.name).unlink(missing_ok=True)
        return elapsed

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        print(self.log)  # pytest shows it when the test fails

    def _read(self) -> None:
        for line in self.process.stdout:
            self._log.append(line)


class Client:
    """A node of the test's own that publishes images and collects what the tested node sends."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import MultiThreadedExecutor

        isolate_ros()
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("test_client", context=self._context)
        self._executor = MultiThreadedExecutor(num_threads=2, context=self._context)
        self._executor.add_node(self.node)
        self._running = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self._clients: dict[str, Any] = {}
        self._subscriptions: dict[int, Any] = {}

    def close(self) -> None:
        """End it."""
        self._running = False
        self._thread.join(TIMEOUT)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def collect(self, kind: type, topic: str, qos: Any, journal: list | None = None) -> list:
        """Subscribe; returns a list that grows with each message, as does `journal`."""
        messages: list = []

        def receive(message: Any) -> None:
            messages.append(message)
            if journal is not None:
                journal.append(message)

        subscription = self.node.create_subscription(kind, topic, receive, qos)
        self._subscriptions[id(messages)] = subscription
        return messages

    def forget(self, messages: list) -> None:
        """Unsubscribe what `collect` subscribed to."""
        self.node.destroy_subscription(self._subscriptions.pop(id(messages)))

    def call(self, kind: type, name: str, /, timeout: float = TIMEOUT, **request: Any) -> Any:
        """Call a service and return its answer."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        if not client.wait_for_service(timeout):
            raise AssertionError(f"there is no service {name}")
        return self._answer(client, kind.Request(**request), name, timeout)

    def _answer(self, client: Any, request: Any, name: str, timeout: float) -> Any:
        """Ask; ask `get_...` again after a while: Fast DDS may lose the first answer."""
        end = time.monotonic() + timeout
        while True:
            future = client.call_async(request)
            again = "get_" in name and time.monotonic() + ASK_AGAIN < end
            try:
                wait_until(future.done, f"an answer of {name}", ASK_AGAIN if again else timeout)
            except AssertionError:
                if not again:
                    raise
                continue
            return future.result()

    def state(self, node: str = "/dinoiser", timeout: float = TIMEOUT) -> str | None:
        """The node's lifecycle state; None without an answer in time, as while it starts."""
        from lifecycle_msgs.srv import GetState

        try:
            return self.call(GetState, f"{node}/get_state", timeout).current_state.label
        except AssertionError:
            return None

    def reaches(self, state: str) -> bool:
        """Whether the node is in a state by now; asked too often it would only load more slowly."""
        time.sleep(0.2)
        return self.state(timeout=10.0) == state

    def change_state(self, transition: str, node: str = "/dinoiser") -> bool:
        """Ask for a transition by its name, such as "configure"; returns whether it succeeded."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        request = Transition(id=number)
        return self.call(ChangeState, f"{node}/change_state", transition=request).success

    def set_parameters(self, node: str = "/dinoiser", **values: Any) -> tuple[bool, str]:
        """Set parameters as one group; returns (successful, reason)."""
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        group = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        name = f"{node}/set_parameters_atomically"
        result = self.call(SetParametersAtomically, name, parameters=group).result
        return result.successful, result.reason

    def get_parameter(self, name: str, node: str = "/dinoiser") -> Any:
        """A parameter's value."""
        from rcl_interfaces.srv import GetParameters
        from rclpy.parameter import parameter_value_to_python

        answer = self.call(GetParameters, f"{node}/get_parameters", names=[name])
        value = parameter_value_to_python(answer.values[0])
        return list(value) if isinstance(value, (list, tuple)) else value

    def _spin(self) -> None:
        while self._running and self._context.ok():
            try:
                self._executor.spin_once(timeout_sec=0.1)
            except Exception as error:  # an entity of the test that was destroyed meanwhile
                if type(error).__name__ != "InvalidHandle":
                    raise


@contextmanager
def running_node(
    parameters: dict[str, Any] | None = None, state: str = "active", **remappings: str
) -> Iterator[tuple[NodeProcess, Client]]:
    """A node in the given lifecycle state, and a client; both end with the context."""
    with NodeProcess(parameters, **remappings) as process:
        client = Client()
        try:
            wait_until(lambda: client.reaches(state), f"the state {state}")
            yield process, client
        finally:
            client.close()


class FakeCamera:
    """Publishes images of a test, each with a stamp of its own.

    Args:
        client: whose node publishes.
        topic: where.
        size: (height, width).
        kind: message type, sensor_msgs/Image unless given.
    """

    def __init__(
        self,
        client: Client,
        topic: str = "/image",
        size: tuple[int, int] = (48, 64),
        kind: type | None = None,
    ) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image

        self._client = client
        self._publisher = client.node.create_publisher(
            kind or Image, topic, qos_profile_sensor_data
        )
        self.pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        self.frame_id = topic.strip("/").replace("/", "_") + "_optical"
        self.sent: list[int] = []

    def header(self) -> Any:
        """A header with the time and this camera's frame."""
        from std_msgs.msg import Header

        return Header(stamp=self._client.node.get_clock().now().to_msg(), frame_id=self.frame_id)

    def connect(self) -> None:
        """Wait until the node subscribes."""
        wait_until(self._publisher.get_subscription_count, "a subscription of the camera")

    def publish(self, message: Any = None) -> int:
        """Publish an image (a fresh one unless given); returns its stamp in nanoseconds."""
        from dinoiser_ros.messages.encode import image_message

        if message is None:
            message = image_message(self.pixels, "rgb8", self.header())
        self._publisher.publish(message)
        self.sent.append(stamp_of(message))
        return self.sent[-1]

    def publish_until(self, condition: Callable[[], Any], what: str, period: float = 0.05) -> Any:
        """Publish fresh images until `condition()` is true and return it."""

        def attempt() -> Any:
            self.publish()
            time.sleep(period)
            return condition()

        return wait_until(attempt, what)


def stamp_of(message: Any) -> int:
    """The stamp of a message in nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def pixels_of(message: Any) -> np.ndarray:
    """The (H, W) pixels of a mono8 or mono16 image."""
    dtype = np.uint16 if message.encoding == "mono16" else np.uint8
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def diagnostic(messages: list, part: str) -> Any:
    """The newest status of a part ("node" or a camera's topic): (level, text, values) or None."""
    for message in reversed(messages):
        for status in message.status:
            if status.name.endswith(f": {part}"):
                values = {value.key: value.value for value in status.values}
                return int.from_bytes(status.level, "little"), status.message, values
    return None


# As scripts/segment_node does; a script's own folder would come first in the import path.
_RUN = "import sys; from dinoiser_ros.ros.segment.main import main; sys.exit(main())"


def _from_scratch(
    code: str, arguments: list[str], environment: dict[str, str]
) -> subprocess.Popen[str]:
    """A process that has imported nothing yet."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def _yaml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
