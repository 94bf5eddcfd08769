# SPDX-License-Identifier: Apache-2.0
"""Clients that send any transition id at any time: the state that is told is the state that is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import qos_profile_sensor_data
from ros_helpers import TIMEOUT, Client, FakeCamera, diagnostic, running_node, wait_until
from sensor_msgs.msg import Image

# All that lifecycle_msgs know and some that nobody knows, but for those that shut down.
IDS = (
    0,
    1,
    2,
    3,
    4,
    9,
    10,
    11,
    12,
    20,
    21,
    30,
    31,
    40,
    41,
    50,
    51,
    60,
    61,
    62,
    90,
    91,
    92,
    99,
    255,
)
LABELS = (
    "transition_success",
    "transition_failure",
    "transition_error",
    "on_error_failure",
    "",
    "?",
)
PRIMARY = ("unconfigured", "inactive", "active")
STORM = 6.0  # seconds


def _storm(seed: int, end: float, succeeded: list[int]) -> None:
    """Send random transitions with a client of one's own until `end` (monotonic seconds)."""
    chosen = random.Random(seed)
    client = Client()
    try:
        change = client.node.create_client(ChangeState, "/dinoiser/change_state")
        assert change.wait_for_service(TIMEOUT)
        while time.monotonic() < end:
            kind = Transition(id=chosen.choice(IDS), label="")
            if chosen.random() < 0.2:
                kind = Transition(label=chosen.choice(LABELS))
            future = change.call_async(ChangeState.Request(transition=kind))
            deadline = time.monotonic() + 0.5 * chosen.random()  # often not waited for
            while not future.done() and time.monotonic() < deadline:
                time.sleep(0.002)
            if future.done() and future.result().success:
                succeeded.append(kind.id)
    finally:
        client.close()


def _settled(client: Client) -> str | None:
    """The state, once it is a primary one and stays: a request may still be on its way."""
    state = client.state()
    time.sleep(1.0)
    return state if state in PRIMARY and client.state() == state else None


def test_a_storm_of_any_ids_leaves_a_node_that_works() -> None:
    from diagnostic_msgs.msg import DiagnosticArray

    with running_node({"run_without_subscribers": True}) as (process, client):
        camera = FakeCamera(client)
        masks = client.collect(Image, "/dinoiser/mask", qos_profile_sensor_data)
        messages = client.collect(DiagnosticArray, "/diagnostics", 10)
        succeeded: list[int] = []
        end = time.monotonic() + STORM
        threads = [
            threading.Thread(target=_storm, args=(seed, end, succeeded)) for seed in range(3)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            camera.publish()
            time.sleep(0.05)
        assert set(succeeded) <= {1, 2, 3, 4}, "an id that is none of a client's was obeyed"
        state = wait_until(lambda: _settled(client), "a primary state")
        messages.clear()
        wait_until(lambda: diagnostic(list(messages), "node"), "diagnostics")
        assert diagnostic(list(messages), "node")[2]["state"] == state
        for way in {"active": ("deactivate", "cleanup"), "inactive": ("cleanup",)}.get(state, ()):
            assert client.change_state(way)
        assert client.change_state("configure")
        assert client.change_state("activate")
        count = len(masks)
        camera.publish_until(lambda: len(masks) > count, "masks after the storm")
        assert client.change_state("active_shutdown")
        process.process.wait(TIMEOUT)
        assert process.process.returncode == 0
        assert "Traceback" not in process.log


@pytest.fixture(scope="module")
def unconfigured() -> Iterator[Client]:
    """A client of a node that waits to be configured; each test leaves it so."""
    with running_node({"autostart": False}, state="unconfigured") as (_, client):
        yield client


@pytest.mark.parametrize("number", [10, 12, 60, 61, 99])
def test_an_internal_id_while_a_model_is_loaded_changes_nothing(
    unconfigured: Client, number: int
) -> None:
    change = unconfigured.node.create_client(ChangeState, "/dinoiser/change_state")
    assert change.wait_for_service(TIMEOUT)
    configured = change.call_async(
        ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    )
    answers = []
    while not configured.done():
        answer = unconfigured.call(
            ChangeState, "/dinoiser/change_state", transition=Transition(id=number)
        )
        answers.append(answer.success)
    assert answers and not any(answers)
    assert configured.result().success
    assert unconfigured.state() == "inactive"
    for way in ("activate", "deactivate", "cleanup"):
        assert unconfigured.change_state(way)
