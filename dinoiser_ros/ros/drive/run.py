# SPDX-License-Identifier: Apache-2.0
"""The executable `drive`: a simulated robot drives by the clouds of the segmentation node.

Robot, costmap and planner run in this process, the segmentation node in its own, over real DDS. In
each room the robot drives to a goal across a lawn, grass is then forbidden by new prompts, and it
drives back. The last line is
`drive: goals=.../... collisions=... forbidden_m=... path_ratio=... latency_ms=...`.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dinoiser_ros.errors import MediaError
from dinoiser_ros.ros.demo.children import Children
from dinoiser_ros.ros.domain import isolate_ros
from dinoiser_ros.ros.watching import INTERRUPTED, Interrupted, stop_at_signals
from dinoiser_ros.sim.gl import RendererUnavailable
from dinoiser_ros.utils.closed_output import end_with_reader
from dinoiser_ros.utils.number_types import finite_number, whole_number

from .score import Outcome, summary
from .shared_memory import profile

if TYPE_CHECKING:
    from .film import Film
    from .node import DriveNode

_NAMESPACE = "/dinoiser_drive"


@end_with_reader()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the drive.

    Returns:
        The exit status: 0 if every goal was tried, 1 if not, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    if not options.namespace:
        # A robot's nodes may run here: they neither hear of the drive nor answer it.
        try:
            isolate_ros()
        except RuntimeError as error:  # every domain is taken
            _say(f"stopped: {error}")
            return 1
        os.environ.update(profile())
    namespace = options.namespace or _NAMESPACE
    stop = stop_at_signals()

    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from .film import Film
    from .tour import DriveError

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    status, outcomes, film = 1, list[Outcome](), None if options.no_film else Film()
    try:
        kinds = {"on": (True,), "off": (False,), "both": (False, True)}[options.semantics]
        for semantics in kinds:
            if outcomes:
                print(f"depth only: {summary(outcomes)}", flush=True)
            outcomes.clear()
            shown = film if semantics is kinds[-1] else None
            _drive(options, namespace, semantics, stop, shown, outcomes)
        status = 0
    except (DriveError, RendererUnavailable) as error:
        _say(f"stopped: {error}")
    except Interrupted:
        _say("interrupted")
        status = INTERRUPTED
    finally:
        rclpy.try_shutdown()
    _write(film, options.output)
    print(summary(outcomes), flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drive", description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=whole_number(1, 1000), default=1, help="how many rooms")
    parser.add_argument(
        "--first", type=whole_number(0, 10**6), default=0, help="number of the first"
    )
    parser.add_argument(
        "--semantics",
        choices=("on", "off", "both"),
        default="on",
        help="off: a costmap of the depth alone, without the segmentation node; both: off, then on",
    )
    parser.add_argument(
        "--latency",
        type=finite_number(0.05, 5, "seconds"),
        help="simulated seconds from an image to its clouds; otherwise as long as they really took",
    )
    parser.add_argument("--no-film", action="store_true", help="write no film and no pictures")
    parser.add_argument("--output", type=Path, default=Path("drive_output"), help="for the film")
    parser.add_argument(
        "--namespace",
        default="",
        help="of a segmentation node that runs already, with config/drive.yaml; otherwise one is "
        "started in a ROS domain of its own",
    )
    about = "further parameter of the segmentation node, such as device:=cpu; may be repeated"
    parser.add_argument("-p", "--parameter", action="append", default=[], help=about)
    return parser


def _drive(
    options: argparse.Namespace,
    namespace: str,
    semantics: bool,
    stop: threading.Event,
    film: Film | None,
    outcomes: list[Outcome],
) -> None:
    """Drive through all rooms; appends what each came to."""
    from dinoiser_ros.sim.navigation.robot import SimulatedBase
    from dinoiser_ros.sim.navigation.room import build_room

    from .node import DriveNode
    from .prompts import FREE, OBSTACLES
    from .tour import ROBOT_RADIUS, DriveError, Means, Tour

    if find_spec("scipy") is None:
        raise DriveError("the planner needs SciPy: apt install python3-scipy, or pip install scipy")
    topics = (*OBSTACLES, *FREE) if semantics else ()
    node = DriveNode(namespace, topics, film is not None)
    try:
        with Children() as children:
            if semantics and not options.namespace:
                _start_node(children, options, namespace)
            means = Means(
                node, semantics, options.latency, lambda: _check(node, children, stop), film
            )
            for number in range(options.first, options.first + options.rooms):
                room = build_room(number, ROBOT_RADIUS)
                with SimulatedBase(room, ROBOT_RADIUS) as base:
                    tour = Tour(room, base, means)
                    try:
                        tour.drive()
                    finally:
                        outcomes.append(tour.outcome)
                _say(f"room {number}{'' if semantics else ', depth only'}: {tour.outcome}")
    finally:
        node.destroy_node()


def _start_node(children: Children, options: argparse.Namespace, namespace: str) -> None:
    from ament_index_python.packages import get_package_prefix, get_package_share_directory

    folder = Path(get_package_prefix("dinoiser_ros"), "lib", "dinoiser_ros")
    file = Path(get_package_share_directory("dinoiser_ros"), "config", "drive.yaml")
    _say("starting the segmentation node (embedded model 'demo')")
    topic = f"{namespace}/dinoiser/obstacles/danger"
    _say(f"to look at it: ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']} ros2 topic hz {topic}")
    more = [word for parameter in options.parameter for word in ("-p", parameter)]
    words = ["--ros-args", "--params-file", str(file), *more, "-r", f"__ns:={namespace}"]
    children.start("segment_node", folder / "segment_node", words)


def _check(node: DriveNode, children: Children, stop: threading.Event) -> None:
    """Raise DriveError if the node cannot work any more, Interrupted after Ctrl-C."""
    from .tour import DriveError

    if stop.is_set():
        raise Interrupted
    gone = children.ended()
    if gone:
        raise DriveError(f"{' and '.join(gone)} ended; see the messages above")
    if node.failure:
        raise DriveError(f"the segmentation node reports: {node.failure}")


def _write(film: Film | None, folder: Path) -> None:
    """Write the film, or say why not."""
    try:
        for path in film.write(folder) if film is not None else []:
            _say(f"wrote {path.resolve()}")
    except (MediaError, OSError) as error:
        _say(f"the film was not written: {error}")


def _say(text: str) -> None:
    print(f"[drive] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
