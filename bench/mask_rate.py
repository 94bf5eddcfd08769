# SPDX-License-Identifier: Apache-2.0
"""How many masks a second a slow network's node gives with `rate_mode: propagate`.

A camera of 30 Hz at 640x480 pans over a texture; the embedded model runs at an inference size at
which it takes about a second on two cores, which it uses both. Printed are masks and inferences a
second, over the last ten seconds, and the processor time of the node.

    make bench-rate [WINDOW=0.25]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from processes import NodeUnderTest, make_room_for_images
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.domain import isolate_ros

TOPIC, RATE, HEIGHT, WIDTH = "/image", 30.0, 480, 640
TARGET = 10.0  # masks a second
_START_TIMEOUT = 180.0  # seconds until the first mask
_STEP = 4  # pixels an image
_WAY = 400  # pixels that the camera pans


def main() -> int:
    """Measure and print; returns 0 if the target is met, else 1."""
    options = _parser().parse_args()
    isolate_ros()
    make_room_for_images()
    rclpy.init(args=[])
    node = rclpy.create_node("mask_rate")
    process = NodeUnderTest(
        {
            "model": options.model,
            "inference_size": options.inference_size,
            "image_topics": [TOPIC],
            "prompts": ["floor", "wall", "person", "chair", "table"],
            "rate_mode": "propagate",
            "inference_window": options.window,
            "offline": True,
        }
    )
    try:
        return _measure(node, process, options.seconds)
    finally:
        process.close()
        node.destroy_node()
        rclpy.try_shutdown()


def _measure(node: rclpy.node.Node, process: NodeUnderTest, seconds: float) -> int:
    values: dict[str, str] = {}
    masks: list[float] = []

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(f": {TOPIC}"):
                values.update({value.key: value.value for value in status.values})

    node.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
    node.create_subscription(
        Image, "/dinoiser/mask", lambda _: masks.append(time.monotonic()), qos_profile_sensor_data
    )
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    coarse = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, (WIDTH + _WAY) // 8, 3))
    scene = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    start, sent, begun, cpu = time.monotonic(), 0, None, 0.0
    while begun is None or time.monotonic() - begun < seconds:
        if process.crashed or (begun is None and time.monotonic() - start > _START_TIMEOUT):
            print(f"bench-rate: there was no mask\n{process.log()}", file=sys.stderr)
            return 1
        left = abs(_STEP * sent % (2 * _WAY) - _WAY)
        header = Header(frame_id="camera", stamp=node.get_clock().now().to_msg())
        publisher.publish(image_message(scene[:, left : left + WIDTH].copy(), "rgb8", header))
        sent += 1
        due = start + sent / RATE
        while (left_over := due - time.monotonic()) > 0:
            rclpy.spin_once(node, timeout_sec=left_over)
        rclpy.spin_once(node, timeout_sec=0.0)
        if begun is None and masks:
            begun, cpu = time.monotonic(), _cpu_seconds(process.process.pid)
            masks.clear()
    used = (_cpu_seconds(process.process.pid) - cpu) / seconds
    return _report(len(masks) / seconds, used, values)


def _report(rate: float, used: float, values: dict[str, str]) -> int:
    inferred, carried = int(values["inferred"]), int(values["carried"])
    print(
        f"  {WIDTH}x{HEIGHT}: camera {float(values['rate_in_hz']):.1f} Hz as received; inference "
        f"{float(values['inference_median_ms']):.0f} ms; carrying "
        f"{float(values['carry_median_ms']):.1f} ms; {inferred} images inferred, {carried} masks "
        f"carried; processor {used:.2f} s a second, load {os.getloadavg()[0]:.1f}"
    )
    print(f"masks_per_second={rate:.1f} target={TARGET:g}")
    return 0 if rate >= TARGET else 1


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mask_rate", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="%(default)s")
    parser.add_argument("--model", default="demo", help="%(default)s")
    parser.add_argument("--inference-size", type=int, default=320, help="px (%(default)s)")
    parser.add_argument("--window", type=float, default=1.0, help="inference_window (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
