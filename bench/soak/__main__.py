# SPDX-License-Identifier: Apache-2.0
"""The soak test: the node under two cameras, random faults and a busy operator.

    make soak FRAMES=20000

The node runs in a process of its own, as installed. A second process is the two cameras (320x240
in every encoding, 160x120 compressed), which always send more than the node can take, good frames
and bad ones of every kind in `soak.frames`. A third one calls services, sets parameters and
prompts, good and bad, and deactivates and activates the node (`soak.calls`, which also says what
has to answer within 100 ms). This one watches: every mask, the counters in /diagnostics, the
node's memory. It ends once the node has taken --frames frames.

The last line: `in` frames taken = `out` answered + `dropped` for newer ones + `bad` ones +
`lost`. The exit status is 0 only if the node never crashed, lost no frame, sent no wrong mask and
gave no wrong answer, grew by less than 2 % and answered every quick call within 100 ms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

from processes import Helper, NodeUnderTest

from dinoiser_ros.ros.domain import isolate_ros
from dinoiser_ros.utils.number_types import count, positive

from .accounting import Result, memory_growth_percent

_START_TIMEOUT = 180.0  # seconds until the first mask: torch alone takes many on a busy machine
_STALL_TIMEOUT = 120.0  # seconds without a further frame until the run is given up
_SETTLE_TIMEOUT = 60.0  # seconds for the frames in work, after the cameras stopped
_SAMPLE = 0.5  # seconds between two readings of the node's memory
_PROGRESS = 5.0  # seconds between two lines of progress
_LOG_LINES = 30  # of the node, shown when something went wrong


def main() -> int:
    """Run the soak; returns the exit status."""
    options = _parser().parse_args()
    isolate_ros()
    import rclpy
    from rclpy.executors import ExternalShutdownException

    from .calls import MANY_PROMPTS, PROMPTS
    from .cameras import COMPRESSED, RAW

    parameters = {
        "image_topics": [RAW.topic, COMPRESSED.topic],
        "prompts": PROMPTS if options.quick else MANY_PROMPTS,
        "offline": True,
        "rate_mode": "propagate" if options.over_time else "off",
        "temporal": "smooth" if options.over_time else "off",
        "inference_window": 0.25 if options.over_time else 1.0,
        **{name: getattr(options, name) for name in ("model", "weights", "heads", "device")},
    }
    print(f"soak: {options.frames} frames of two cameras, seed {options.seed}", flush=True)
    rclpy.init(args=[])
    node_process = NodeUnderTest(parameters)
    try:
        run = Soak(node_process, options)
        result = run.run()
        _explain(result, run, node_process)
    except (KeyboardInterrupt, ExternalShutdownException):
        print("soak: interrupted", flush=True)
        return 130
    finally:
        node_process.close()
        rclpy.try_shutdown()
    print(result.line(), flush=True)
    return 1 if result.failures() else 0


class Soak:
    """One run.

    Args:
        node_process: the node, just started.
        options: of the command line.
    """

    def __init__(self, node_process: NodeUnderTest, options: argparse.Namespace) -> None:
        import rclpy

        from .cameras import COMPRESSED, RAW
        from .watcher import Watcher

        self._node_process = node_process
        self._frames = options.frames
        self._arguments = ["--seed", str(options.seed), *(["--quick"] if options.quick else [])]
        self._node = rclpy.create_node("soak")
        self._memory: list[float] = []
        self._next_sample = self._next_progress = time.monotonic()
        self.watcher = Watcher(self._node, (RAW, COMPRESSED))
        self.calls: Any = None

    def run(self) -> Result:
        """Run until the frames are through, or something ends it early."""
        problems: list[str] = []
        cameras = Helper("soak.cameras", self._arguments)
        try:
            if not self._spin(self._warmed_up, _START_TIMEOUT):
                problems.append(f"the first masks did not come within {_START_TIMEOUT:.0f} s")
            else:
                problems += self._load()
        finally:
            cameras.stop()
        problems += self._settle()
        crashes = int(self._node_process.crashed)
        status = self._node_process.stop()
        if status and not crashes:
            problems.append(f"the node ended with the status {status} after Ctrl-C")
        if "Traceback" in self._node_process.log():
            problems.append("the node's log has a traceback")
        return Result(
            self.watcher.counters,
            self.watcher.answers.seen,
            crashes,
            memory_growth_percent(self._memory),
            self.calls.worst_quick[0] if self.calls else 0.0,
            [*problems, *self.watcher.answers.wrong, *(self.calls.problems if self.calls else ())],
        )

    def _warmed_up(self) -> bool:
        """Whether the second camera has sent its huge frames.

        With many classes they are the largest messages of the run; the middleware never gives the
        memory back that they take.
        """
        return bool(self.watcher.answers.kinds - {"good", "huge"})

    def _load(self) -> list[str]:
        """Calls and frames until enough were taken; returns problems."""
        from .watcher import CallTimes

        caller = Helper("soak.caller", self._arguments, stdout=subprocess.PIPE, text=True)
        self.calls = CallTimes(caller.process.stdout)
        last, since = -1, time.monotonic()

        def over() -> bool:
            nonlocal last, since
            taken = self.watcher.counters.taken
            if taken != last:
                last, since = taken, time.monotonic()
            stalled = time.monotonic() - since > _STALL_TIMEOUT
            return stalled or (taken >= self._frames and self.calls.all_called)

        try:
            self._spin(over, float("inf"))
        finally:
            caller.stop()
        if self.watcher.counters.taken < self._frames and not self._node_process.crashed:
            return [f"the node took no frame for {_STALL_TIMEOUT:.0f} s"]
        return []

    def _settle(self) -> list[str]:
        """Wait until nothing is in work: the counters add up, and came twice without a change."""
        watcher = self.watcher
        watcher.unchanged = 0
        if self._spin(
            lambda: watcher.unchanged >= 2 and not watcher.counters.lost, _SETTLE_TIMEOUT
        ):
            return []
        return ["the counters in /diagnostics still changed long after the cameras had stopped"]

    def _spin(self, until: Any, seconds: float) -> bool:
        """Handle messages until a condition, the time, or the node's end; returns the condition."""
        import rclpy

        end = time.monotonic() + seconds
        while not until():
            if self._node_process.crashed or time.monotonic() > end:
                return False
            rclpy.spin_once(self._node, timeout_sec=0.1)
            self._look()
        return True

    def _look(self) -> None:
        """Memory and progress, when it is time for them."""
        now = time.monotonic()
        if self.calls is not None and now >= self._next_sample:
            self._next_sample = now + _SAMPLE
            memory = self._node_process.memory_mb()
            self._memory += [] if memory is None else [memory]
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS
            counters = self.watcher.counters
            memory = f"{self._memory[-1]:.0f} MB" if self._memory else "starting"
            worst = self.calls.worst_quick if self.calls else (0.0, "-")
            print(
                f"  {counters.taken} of {self._frames} frames taken, {counters.answered} answered, "
                f"{counters.dropped} dropped, {counters.bad} bad; node: {memory}; "
                f"worst service: {worst[0]:.1f} ms ({worst[1]})",
                flush=True,
            )


def _explain(result: Result, run: Soak, node_process: NodeUnderTest) -> None:
    """Everything that is not in the last line."""
    answered = result.counters.answered
    print(f"  masks seen: {result.seen}; frames segmented: {answered}", flush=True)
    print(f"  stamps that were zero or went back: {result.counters.bad_stamps}", flush=True)
    if run.calls is not None:
        for sort, (ms, name) in (
            ("quick", run.calls.worst_quick),
            ("slow (set_prompts, segment)", run.calls.worst_slow),
        ):
            print(f"  worst of the {sort} calls: {ms:.1f} ms ({name})", flush=True)
        print(f"  service calls: {run.calls.calls}", flush=True)
    failures = result.failures()
    for failure in failures[:20]:
        print(f"  NOT MET: {failure}", flush=True)
    if failures:
        lines = node_process.log().splitlines()[-_LOG_LINES:]
        print("  the node's last words:\n" + "\n".join(f"    {line}" for line in lines), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=positive, default=20000, help="that the node has to take")
    parser.add_argument("--seed", type=count, default=0, help="of the faults and calls")
    parser.add_argument(
        "--quick", action="store_true", help="without 400 prompts and without a 8000x6000 image"
    )
    parser.add_argument(
        "--over-time", action="store_true", help="with masks that are carried and fused"
    )
    parser.add_argument("--model", default="demo", help="name, or path of an OpenCLIP config")
    parser.add_argument("--weights", default="", help="path of the weights, if not the model's own")
    parser.add_argument("--heads", default="", help="path of the heads, if not the model's own")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    return parser


if __name__ == "__main__":
    sys.exit(main())
