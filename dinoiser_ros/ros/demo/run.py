# SPDX-License-Identifier: Apache-2.0
"""The executable `demo`: simulated camera -> topic -> node -> masks, over real DDS.

Camera and node run in their own processes; this one watches them, changes the prompts halfway
and ends with the line `demo: frames=... published=... mIoU=... latency_ms=...`.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dinoiser_ros.ros.domain import isolate_ros
from dinoiser_ros.ros.tools.sim_frames import CameraOptions
from dinoiser_ros.ros.watching import INTERRUPTED, Interrupted, spin_until, stop_at_signals
from dinoiser_ros.utils.closed_output import end_with_reader
from dinoiser_ros.utils.number_types import count, finite_number
from dinoiser_ros.web.access import PORT

from .children import Children
from .score import PROMPT_SETS, overall_iou

if TYPE_CHECKING:
    from .watcher import Watcher

_START_TIMEOUT = 180.0  # seconds until the first mask: torch alone takes many on a busy machine
_CHANGE_TIMEOUT = 60.0  # seconds until the first mask with changed prompts
_ROOM = 4.0  # seconds in one room: a short demo should show more than one
_PICTURES = 3  # overlays written for each prompt set


class DemoError(Exception):
    """Why the demo cannot go on, in one sentence."""


@end_with_reader()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        The exit status: 0 if masks were published for all prompt sets, 1 if not, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    # A robot's nodes may run here: they neither hear of the demo nor answer it.
    try:
        isolate_ros()
    except RuntimeError as error:  # every domain is taken
        _say(f"stopped: {error}")
        return 1
    namespace = f"/dinoiser_demo_{os.getpid()}"
    stop = stop_at_signals()

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from .watcher import Watcher

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    watcher = Watcher(PROMPT_SETS, namespace)
    status = 1
    try:
        with Children() as children:
            _start(children, options, namespace)
            status = _watch(watcher, children, stop, options)
    except DemoError as error:
        _say(f"stopped: {error}")
    except Interrupted:
        _say("interrupted")
        status = INTERRUPTED
    finally:
        watcher.destroy_node()
        rclpy.try_shutdown()
    _write_overlays(watcher, options.output)
    print(_summary(watcher), flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds",
        type=finite_number(1, 86400, "seconds"),
        default=20.0,
        help="how long masks are watched",
    )
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="for the overlays")
    parser.add_argument(
        "--rate", type=float, default=CameraOptions.rate, help="camera frames per second"
    )
    parser.add_argument("--recorded", action="store_true", help="show the shipped frames")
    parser.add_argument("--seed", type=count, default=CameraOptions.seed, help="which world")
    about = "further parameter of the segmentation node, such as device:=cpu; may be repeated"
    parser.add_argument("-p", "--parameter", action="append", default=[], help=about)
    return parser


def _start(children: Children, options: argparse.Namespace, namespace: str) -> None:
    """Start camera, node, web page and, on a desktop, a window, all in a namespace."""
    from ament_index_python.packages import get_package_prefix

    folder = Path(get_package_prefix("dinoiser_ros"), "lib", "dinoiser_ros")
    prompts = "[" + ", ".join(f"'{prompt}'" for prompt in PROMPT_SETS[0]) + "]"
    camera = {"rate": options.rate, "seed": options.seed, "recorded": options.recorded}
    camera["room_seconds"] = _ROOM
    node = {"model": "demo", "prompts": prompts, "image_topics": "['image']"}
    _say("starting the simulated camera and the segmentation node (embedded model 'demo')")
    topic = f"{namespace}/dinoiser/mask"
    _say(f"to look at it: ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']} ros2 topic hz {topic}")
    here = ["-r", f"__ns:={namespace}"]
    children.start("sim_camera", folder / "sim_camera", ros_arguments(camera) + here)
    more = [word for parameter in options.parameter for word in ("-p", parameter)]
    children.start("segment_node", folder / "segment_node", ros_arguments(node) + more + here)
    console = {"port": PORT if _is_free(PORT) else 0, "depth_topics": "['depth']"}
    children.start("web_console", folder / "web_console", ros_arguments(console) + here)
    if os.environ.get("DISPLAY") and not options.headless:
        remap = ["--ros-args", "-r", "image:=dinoiser/overlay", *here]
        children.start("viewer", folder / "viewer", remap)


def _is_free(port: int) -> bool:
    """Whether nobody listens at a TCP port of this machine."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0


def ros_arguments(parameters: Mapping[str, object]) -> list[str]:
    """Parameters as arguments of a node's process; texts have to be valid YAML."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name}:={text}"]
    return arguments


def _watch(
    watcher: Watcher, children: Children, stop: threading.Event, options: argparse.Namespace
) -> int:
    """Show both prompt sets for half of the time each; returns the exit status."""
    first, second = watcher.scores

    def spin(until: Callable[[], bool], seconds: float) -> bool:
        return spin_until(watcher, lambda: _check(watcher, children, stop), until, seconds)

    if not spin(lambda: first.frames > 0, _START_TIMEOUT):
        raise DemoError(f"no mask within {_START_TIMEOUT:.0f} s; see the messages above")
    _say(f"masks arrive; watching for {options.seconds:g} s")
    spin(lambda: False, options.seconds / 2)
    _say(f"{first.frames} masks of {len(first.names)} classes; changing the prompts by service")
    answer = watcher.ask_for(PROMPT_SETS[1])
    if not spin(answer.done, _CHANGE_TIMEOUT):
        raise DemoError(f"~/set_prompts did not answer within {_CHANGE_TIMEOUT:.0f} s")
    if not answer.result().success:
        raise DemoError(f"~/set_prompts refused the prompts: {answer.result().message}")
    if not spin(lambda: second.frames > 0, _CHANGE_TIMEOUT):
        raise DemoError(f"no mask of the changed prompts within {_CHANGE_TIMEOUT:.0f} s")
    spin(lambda: False, options.seconds / 2)
    _say(f"{second.frames} masks of {len(second.names)} classes after the change")
    return 0 if all(score.frames for score in watcher.scores) else 1


def _check(watcher: Watcher, children: Children, stop: threading.Event) -> None:
    """Raise DemoError if camera or node cannot work any more, Interrupted after Ctrl-C."""
    if stop.is_set():
        raise Interrupted
    # The viewer may be closed at any time, and the page is not what the demo is about.
    gone = [name for name in children.ended() if not name.startswith(("viewer", "web_console"))]
    if gone:
        raise DemoError(f"{' and '.join(gone)} ended; see the messages above")
    if watcher.failure:
        raise DemoError(f"the segmentation node reports: {watcher.failure}")


def _write_overlays(watcher: Watcher, folder: Path) -> None:
    """Write a few pictures of each prompt set, camera image and overlay side by side."""
    import numpy as np
    from PIL import Image

    written = 0
    for number, pairs in enumerate(watcher.overlays, start=1):
        chosen = pairs[:: max(1, -(-len(pairs) // _PICTURES))][:_PICTURES]
        for index, pair in enumerate(chosen, start=1):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"prompts_{number}_overlay_{index}.png"
            Image.fromarray(np.concatenate(pair, axis=1)).save(path)
            written += 1
    if written:
        _say(f"wrote {written} pictures to {folder.resolve()}")


def _summary(watcher: Watcher) -> str:
    for score in watcher.scores:
        if score.frames:
            _say(f"mIoU {score.mean_iou():.3f} over {len(score.names)} classes")
    latency = statistics.median(watcher.latencies) * 1000 if watcher.latencies else float("nan")
    return (
        f"demo: frames={watcher.frames} published={watcher.published} "
        f"mIoU={overall_iou(watcher.scores):.3f} latency_ms={latency:.0f}"
    )


def _say(text: str) -> None:
    print(f"[demo] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
