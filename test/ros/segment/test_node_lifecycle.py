# SPDX-License-Identifier: Apache-2.0
"""The managed node: transitions, retries, and an end without delay or traceback at any moment."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import (
    GOLDEN_MODEL,
    TIMEOUT,
    FakeCamera,
    NodeProcess,
    diagnostic,
    running_node,
    wait_until,
)
from sensor_msgs.msg import Image

MAX_END = 3.0  # seconds from signal to end: 2 are promised, the rest is for a loaded machine


def test_transitions_retries_and_shutdown() -> None:
    parameters = {"autostart": False, "weights": "/no/such/file.safetensors"}
    with running_node(parameters, state="unconfigured") as (process, client):
        from diagnostic_msgs.msg import DiagnosticArray

        messages = client.collect(DiagnosticArray, "/diagnostics", 10)
        assert not client.change_state("configure")
        assert client.state() == "unconfigured"
        wait_until(
            lambda: (diagnostic(list(messages), "node") or (0,))[0] == 2, "an ERROR in diagnostics"
        )
        assert "/no/such/file.safetensors" in diagnostic(messages, "node")[1]

        assert client.set_parameters(weights=GOLDEN_MODEL["weights"]) == (True, "")
        assert client.change_state("configure")
        assert client.state() == "inactive"
        assert not client.set_parameters(weights="elsewhere")[0]

        camera = FakeCamera(client)
        masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
        camera.connect()
        for _ in range(10):
            camera.publish()
            time.sleep(0.02)
        assert not masks
        for _ in range(2):
            assert client.change_state("activate")
            count = len(masks)
            camera.publish_until(lambda start=count: len(masks) > start, "masks of an active node")
            assert client.change_state("deactivate")
            time.sleep(0.3)  # what was sent before it stopped has arrived
            count = len(masks)
            for _ in range(10):
                camera.publish()
                time.sleep(0.02)
            assert len(masks) == count
        assert client.change_state("cleanup")
        assert client.state() == "unconfigured"
        assert client.change_state("configure") and client.change_state("activate")
        count = len(masks)
        camera.publish_until(lambda: len(masks) > count, "masks after a second configure")

        start = time.monotonic()
        assert client.change_state("active_shutdown")
        process.process.wait(TIMEOUT)
        assert time.monotonic() - start < MAX_END
        assert process.process.returncode == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_running_node(number: int) -> None:
    with running_node({"run_without_subscribers": True}) as (process, client):
        camera = FakeCamera(client)
        camera.connect()
        for _ in range(5):
            camera.publish()
        assert process.stop(number) < MAX_END
        assert process.process.returncode == 0
        assert "Traceback" not in process.log


@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5, 3.0])
def test_a_signal_ends_the_starting_node(delay: float) -> None:
    with NodeProcess(imported=False) as process:
        wait_until(lambda: _handles_signals(process.process.pid), "the node's signal handlers")
        time.sleep(delay)
        assert process.stop(signal.SIGINT) < MAX_END
        assert "Traceback" not in process.log
        assert process.process.returncode == 0


def _handles_signals(pid: int) -> bool:
    """Whether a process catches SIGTERM by now (bit 14 of SigCgt); earlier it is not ours yet."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        caught = next(line for line in file if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"gamma": 7.0}, "gamma cannot be 7.0"),
        ({"confidence_threshold": 7.0}, "confidence_threshold cannot be 7.0"),
        ({"prompts": "person"}, "prompts has to be a list of texts"),
        ({"prompts": []}, "prompts"),
        ({"input_type": "video"}, "auto, raw, compressed"),
    ],
)
def test_a_bad_value_at_start_is_said_at_once(parameters: dict, sentence: str) -> None:
    with NodeProcess(parameters) as process:
        process.process.wait(TIMEOUT)
        process.stop()
        assert process.process.returncode == 2
        assert sentence in process.log
        assert "Traceback" not in process.log


def test_a_model_that_cannot_be_loaded_leaves_an_unconfigured_node() -> None:
    with running_node({"heads": "/no/heads.safetensors"}, "unconfigured") as (process, client):
        wait_until(lambda: "configure failed" in process.log, "the reason in the log")
        assert "/no/heads.safetensors" in process.log
        wait_until(lambda: client.state() == "unconfigured", "the state unconfigured")


def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    """As at boot without network: what was missing comes later, and nobody does anything."""
    weights = tmp_path / "late.safetensors"
    parameters = {"autostart": True, "weights": str(weights)}
    with running_node(parameters, state="unconfigured") as (_, client):
        from diagnostic_msgs.msg import DiagnosticArray

        messages = client.collect(DiagnosticArray, "/diagnostics", 10)

        def failed() -> bool:
            level, text, *_ = diagnostic(list(messages), "node") or (0, "")
            return level == 2 and str(weights) in text

        wait_until(failed, "an ERROR in diagnostics")
        wait_until(lambda: "next_start_in_s" in str(list(messages)), "when the next try is")
        shutil.copy(GOLDEN_MODEL["weights"], weights)
        wait_until(lambda: client.state() == "active", "the node's own start", TIMEOUT)
