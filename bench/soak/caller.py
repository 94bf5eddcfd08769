# SPDX-License-Identifier: Apache-2.0
"""Calls the node's services and times the answers: `python3 -m soak.caller --seed 0`.

It does nothing else, so that the times are the node's. Writes one line of JSON for each call.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from .arguments import parse_arguments
from .calls import CALLS, NODE, Call, WrongAnswer, many_prompts

_TIMEOUT = 120.0  # seconds for one answer, far beyond any target
_DISCOVERY = 0.5  # seconds, before the first call of a service
_PAUSE = 0.05  # seconds between two calls: a busy operator, no denial of service


class Caller:
    """Clients of the node's services.

    Args:
        node: whose clients they are.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._clients: dict[str, Any] = {}

    def ask(self, kind: type, name: str, quick: bool, **request: Any) -> Any:
        """Call a service and report how long the answer took.

        Raises:
            WrongAnswer: none came.
        """
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, f"{NODE}/{name}")
            # The client has found the server now, but the server perhaps not yet the client.
            self._clients[name].wait_for_service(_TIMEOUT)
            time.sleep(_DISCOVERY)
        start = time.perf_counter()
        future = self._clients[name].call_async(kind.Request(**request))
        rclpy.spin_until_future_complete(self._node, future, timeout_sec=_TIMEOUT)
        report(service=name, quick=quick, ms=(time.perf_counter() - start) * 1e3)
        if not future.done():
            raise WrongAnswer(f"{name} gave no answer")
        return future.result()

    def run(self, call: Call, variant: Any) -> None:
        """Make one call of the table; what is wrong is reported."""
        try:
            call.function(self.ask, variant)
        except WrongAnswer as problem:
            report(problem=f"{call.name}: {problem}")
        time.sleep(_PAUSE)


def report(**fields: Any) -> None:
    """Write one line of JSON."""
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Make every call with every variant once, then calls at random until the process is ended."""
    options = parse_arguments(__doc__.splitlines()[0])
    rng = random.Random(options.seed)
    calls = [call for call in CALLS if not (options.quick and call.function is many_prompts)]
    rclpy.init()
    caller = Caller(rclpy.create_node("soak_caller"))
    try:
        for call in calls:
            for variant in call.variants:
                caller.run(call, variant)
        report(all_called=True)
        weights = [call.weight for call in calls]
        while rclpy.ok():
            call = rng.choices(calls, weights)[0]
            caller.run(call, rng.choice(call.variants))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main()
