# SPDX-License-Identifier: Apache-2.0
"""What the node costs on top of its engine: `make bench-node`.

Overhead: from the moment at which the node receives an image to the moment at which its mask and
confidence are published, less the engine's own time. For a 640x480 rgb8 image, mask and confidence
subscribed, one image at a time (the next one is sent a little after the answer to the last), so
that no image waits for another. All numbers are medians over the same run:

- `transport_ms`: before the node is started, an image is stamped and published in one process and
  received by a bare rclpy subscription with the node's QoS in another one. From its stamp to the
  callback.
- `overhead_ms`: the node's `overhead_median_ms` in /diagnostics. The node takes the time of every
  image from its subscription's callback to the return of the last publish, and subtracts that of
  the call of the segmenter. So it holds what the node does with a message (conversion, hand-over
  between threads, building and publishing the outputs) and whatever it makes the engine wait for.
- Printed as a check from outside: the stamp to both outputs in the subscriber. It has to be the
  transport of the image, the overhead, the inference and the transport of the outputs together;
  "unexplained" is what is left without the last one.

The cost of clouds and objects is added to the overhead only if somebody subscribes to them. It is
measured in this process, before all that: processor time in one thread, from messages to messages,
for frames of the simulator with their true masks made as coarse as a network's.

All processes use config/fastdds_images.xml, so that no image gets lost between them.
/diagnostics look back 10 s, so that a run of 20 s (the default) does not see the first images,
which warm the engine up.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import IO, Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from image_publisher import SIZE, TOPIC
from objects.cost import median_objects_ms
from points.__main__ import rendered
from points.cost import median_ms
from points.masks import in_patches
from processes import Helper, NodeUnderTest, make_room_for_images
from rclpy.executors import ExternalShutdownException
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from dinoiser_ros.ros.domain import isolate_ros
from dinoiser_ros.sim.gl import RendererUnavailable

MAX_OVERHEAD_MS = 5.0
_START_TIMEOUT = 180.0  # seconds until the first answer of the node
_FIRST_ANSWER = 1.0  # seconds until another image is sent while there was no answer yet
_PAUSE = 0.02  # seconds between an answer and the next image
_TRANSPORT_SECONDS = 5.0  # that the bare transport is measured for
_LEAST_IMAGES = 10  # for a median
_COST_FRAMES = 8  # that the cost of clouds and objects is measured with
# As the node subscribes to its camera.
NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
_PROMPTS = ["background", "floor", "wall", "person", "chair", "table"]


def main() -> int:
    """Measure and print; returns 0 if the overhead is within the target, else 1."""
    options = _parser().parse_args()
    extras = _costs_of_more()
    isolate_ros()
    make_room_for_images()
    rclpy.init(args=[])
    node = rclpy.create_node("bench_node")
    publisher = Helper("image_publisher", stdin=subprocess.PIPE, text=True)
    stopwatch = Stopwatch(node, publisher.process.stdin)
    try:
        end = time.monotonic() + min(options.seconds, _TRANSPORT_SECONDS)
        transport = stopwatch.median_ms(
            [TOPIC], lambda: len(stopwatch.times) >= _LEAST_IMAGES and time.monotonic() > end
        )
        arrival, values = _with_node(node, stopwatch, options)
    except MeasurementError as error:
        print(f"bench-node: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        print("bench-node: interrupted", flush=True)
        return 130
    finally:
        publisher.stop()
        node.destroy_node()
        rclpy.try_shutdown()
    return _report(transport, arrival, values, extras)


class MeasurementError(Exception):
    """Why nothing was measured, in one sentence."""


class Stopwatch:
    """Sends images one at a time and takes the time from their stamps to what comes of them.

    Args:
        node: whose subscriptions are used.
        trigger: a line to it makes the publisher send an image.

    Attributes:
        times: milliseconds of the measurement that runs, or ran last.
    """

    def __init__(self, node: Any, trigger: IO[str]) -> None:
        self.times: list[float] = []
        self._node = node
        self._trigger = trigger

    def median_ms(self, topics: list[str], until: Callable[[], bool]) -> float:
        """Median time until an image's stamp has arrived on all topics.

        Args:
            topics: of sensor_msgs/Image.
            until: ends the measurement; asked after each image.

        Raises:
            MeasurementError: nothing came.
        """
        self.times = []
        arrived: dict[int, set[str]] = {}

        def receive(topic: str, message: Any) -> None:
            now = time.time_ns()
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            arrived.setdefault(stamp, set()).add(topic)
            if len(arrived[stamp]) == len(topics):
                self.times.append((now - stamp) * 1e-6)

        subscriptions = [
            self._node.create_subscription(Image, topic, partial(receive, topic), NEWEST)
            for topic in topics
        ]
        try:
            self._send(until)
        finally:
            for subscription in subscriptions:
                self._node.destroy_subscription(subscription)
        return statistics.median(self.times)

    def _send(self, until: Callable[[], bool]) -> None:
        start = time.monotonic()
        while not until():
            count = len(self.times)
            self._trigger.write("\n")
            self._trigger.flush()
            self._spin(self._patience(), lambda count=count: len(self.times) > count)
            if not self.times and time.monotonic() - start > _START_TIMEOUT:
                raise MeasurementError(f"nothing came within {_START_TIMEOUT:.0f} s")
            self._spin(_PAUSE, lambda: False)

    def _patience(self) -> float:
        """Seconds to wait for an answer: best effort loses an image of this size now and then."""
        return 0.05 + 5e-3 * statistics.median(self.times) if self.times else _FIRST_ANSWER

    def _spin(self, seconds: float, until: Callable[[], bool]) -> None:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            rclpy.spin_once(self._node, timeout_sec=max(end - time.monotonic(), 0.0))


def _with_node(
    node: Any, stopwatch: Stopwatch, options: argparse.Namespace
) -> tuple[float, dict[str, str]]:
    """The time to both outputs in ms, and what the node's diagnostics say of the camera."""
    names = ("model", "weights", "heads", "device")
    parameters = {name: getattr(options, name) for name in names}
    parameters |= {"image_topics": [TOPIC], "prompts": _PROMPTS, "offline": True}
    process = NodeUnderTest(parameters)
    values: dict[str, str] = {}
    started = float("inf")

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(f": {TOPIC}"):
                values.update({value.key: value.value for value in status.values})

    def over() -> bool:
        nonlocal started
        if process.crashed:
            raise MeasurementError("the node ended:\n" + process.log())
        if stopwatch.times:
            started = min(started, time.monotonic())
        enough = stopwatch.times and int(values.get("published", 0)) >= _LEAST_IMAGES
        return bool(enough) and time.monotonic() - started > options.seconds

    subscription = node.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
    try:
        return stopwatch.median_ms(["/dinoiser/mask", "/dinoiser/confidence"], over), values
    finally:
        node.destroy_subscription(subscription)
        process.close()


def _costs_of_more() -> dict[str, float]:
    """Processor time of a frame's clouds and objects in milliseconds, by what is subscribed to."""
    try:
        frames = rendered(_COST_FRAMES)
    except RendererUnavailable as error:
        print(f"  clouds and objects were not measured: {error}", flush=True)
        return {}
    masks = [in_patches(frame.labels, 16) for frame in frames]
    return {
        "points and three groups": median_ms(frames, masks),
        "detections and instances": median_objects_ms(frames, masks, depth=False),
        "the same with depth and detections_3d": median_objects_ms(frames, masks, depth=True),
    }


def _report(
    transport: float, arrival: float, values: dict[str, str], extras: dict[str, float]
) -> int:
    """Print the result (milliseconds, and the camera's diagnostics); returns the exit status."""
    for name, cost in extras.items():
        print(f"  {name}: {cost:.1f} ms of processor time")
    names = ("overhead", "inference", "conversion")
    overhead, inference, conversion = (float(values[f"{name}_median_ms"]) for name in names)
    print(
        f"  {SIZE[1]}x{SIZE[0]} rgb8, {values['published']} images; medians in ms: inference "
        f"{inference:.2f}; conversion {conversion:.2f} of the overhead; stamp to both outputs "
        f"received {arrival:.2f}, unexplained {arrival - transport - overhead - inference:.2f}"
    )
    print(f"bench-node: overhead_ms={overhead:.2f} transport_ms={transport:.2f}", flush=True)
    return 0 if overhead <= MAX_OVERHEAD_MS else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="node_overhead", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the node is measured")
    parser.add_argument("--model", default="demo", help="name, or path of an OpenCLIP config")
    parser.add_argument("--weights", default="", help="path of the weights, if not the model's own")
    parser.add_argument("--heads", default="", help="path of the heads, if not the model's own")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    return parser


if __name__ == "__main__":
    sys.exit(main())
