# SPDX-License-Identifier: Apache-2.0
"""Faults of the device, injected into a real node: it says so, and it lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import FakeCamera, diagnostic, running_node, stamp_of, wait_until
from sensor_msgs.msg import Image

from dinoiser_ros.srv import SetPrompts

ERROR = 2
# The node as it is, but for the engine's door, which fails as a file says.
PROGRAM = """
import sys
from pathlib import Path
import dinoiser_ros.segmentation.segmenter as module

fault, original = Path({fault!r}), module.Segmenter.segment_batch

def segment_batch(self, images, whole=None):
    if fault.exists():
        kind, number = fault.read_text().split()
        with open(str(fault) + ".calls", "a") as file:
            file.write("x")
        if kind == "lost":
            raise RuntimeError("CUDA error: unspecified launch failure")
        if (self.inference_size or self.default_inference_size) > int(number):
            import torch
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    return original(self, images, whole)

module.Segmenter.segment_batch = segment_batch
from dinoiser_ros.ros.segment.main import main
sys.exit(main())
"""


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    return tmp_path / "fault"


@pytest.fixture
def running(fault: Path) -> Iterator[tuple[Any, Any, FakeCamera, list, list]]:
    parameters = {"prompts": ["floor", "person"], "inference_size": 448}
    with running_node(parameters, program=PROGRAM.format(fault=str(fault))) as (process, client):
        diagnostics = client.collect(DiagnosticArray, "/diagnostics", 10)
        masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
        camera = FakeCamera(client)
        camera.connect()
        camera.publish_until(lambda: masks, "a mask")
        yield process, client, camera, masks, diagnostics


def status(diagnostics: list, part: str) -> tuple[int, str, dict]:
    return diagnostic(list(diagnostics), part) or (0, "not there yet", {})


def fresh(camera: FakeCamera, masks: list) -> Callable[[], bool]:
    start = len(camera.sent)
    return lambda: any(stamp_of(mask) in camera.sent[start:] for mask in list(masks))


def test_out_of_memory_reduces_the_resolution_and_the_stream_goes_on(
    running: tuple, fault: Path
) -> None:
    process, client, camera, masks, diagnostics = running
    fault.write_text("oom 112")
    camera.publish_until(fresh(camera, masks), "a mask at a lower resolution")
    assert "CUDA out of memory" in process.log
    assert "inference_size is 224 until it is set again" in process.log  # then 112, throttled
    wait_until(
        lambda: int(status(diagnostics, "/image")[2].get("bad_inference", 0)) >= 2,
        "the skipped frames in diagnostics",
    )
    assert client.state() == "active"
    fault.unlink()
    assert client.set_parameters(inference_size=320) == (True, "")
    camera.publish_until(fresh(camera, masks), "a mask at the full resolution")


def test_a_lost_device_ends_in_unconfigured_and_can_be_configured_again(
    running: tuple, fault: Path
) -> None:
    process, client, camera, masks, diagnostics = running
    fault.write_text("lost 0")
    camera.publish_until(lambda: client.reaches("unconfigured"), "the state unconfigured")
    wait_until(lambda: status(diagnostics, "node")[0] == ERROR, "an error in diagnostics")
    level, text, _ = status(diagnostics, "node")
    assert "unspecified launch failure" in text and "start the node again" in text
    assert Path(f"{fault}.calls").read_text() == "x", "tried once, not again and again"
    assert "Traceback" not in process.log
    fault.unlink()
    assert client.change_state("configure") and client.change_state("activate")
    camera.publish_until(fresh(camera, masks), "a mask after a second configure")


def test_text_embeddings_that_cannot_be_kept_are_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "file"))
    with running_node({"prompts": ["floor", "person"]}) as (process, client):
        wait_until(lambda: "cannot be kept" in process.log, "the sentence")
        for prompts in (["wall", "door"], ["chair", "table"]):
            answer = client.call(SetPrompts, "/dinoiser/set_prompts", prompts=prompts)
            assert answer.success, answer.message
        camera = FakeCamera(client)
        masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
        camera.connect()
        camera.publish_until(lambda: masks, "a mask")
        assert process.log.count("text embeddings cannot be kept") == 1
