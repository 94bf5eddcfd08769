# SPDX-License-Identifier: Apache-2.0
"""One drive through a room: to the goal and back, by what the clouds show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dinoiser_ros.ros.watching import spin_until
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.navigation.clouds import by_height, geometric_clouds
from dinoiser_ros.sim.navigation.follower import Pose
from dinoiser_ros.sim.navigation.frames import in_odom
from dinoiser_ros.sim.navigation.navigator import Navigator
from dinoiser_ros.sim.navigation.picture import MapPicture, beside
from dinoiser_ros.sim.navigation.robot import CAMERA_HEIGHT, MOUNT, SimulatedBase
from dinoiser_ros.sim.navigation.room import Room

from .film import Film
from .node import DriveNode
from .prompts import FREE, GRASS_IS_FORBIDDEN, GRASS_IS_GROUND, OBSTACLES
from .score import Outcome

ROBOT_RADIUS = 0.22  # metres
_MARGIN = 0.08  # metres kept free beside it
_ARRIVED = 0.3  # metres
_STEP = 0.05  # seconds of one control step
_LONGEST = 90.0  # simulated seconds of a leg
_PATIENCE, _LEAST_PATIENCE = 5.0, 1.0  # latencies, seconds until an image is published again
_GIVE_UP = 180.0  # seconds without an answer
_CHANGE = 30.0  # seconds that new prompts may take
_PAUSE = 1.0  # seconds until they are asked for again


class DriveError(Exception):
    """Why the drive cannot go on, in one sentence."""


@dataclass(frozen=True)
class Means:
    """What a drive is made with.

    Attributes:
        node: publishes and receives.
        semantics: whether the costmap is made of the node's clouds, or of the depth alone.
        latency: seconds after an image until its clouds act; None: as long as they took.
        check: called often; raises an exception to end the drive.
        film: to add pictures to; None for none.
    """

    node: DriveNode
    semantics: bool
    latency: float | None
    check: Callable[[], None]
    film: Film | None


class Tour:
    """The robot in a room, on its way.

    The world stands still while an image is segmented; then the robot drives on for that time with
    what it knew before, and only then gets to know what the image showed.
    """

    def __init__(self, room: Room, base: SimulatedBase, means: Means) -> None:
        self._room, self._base, self._means = room, base, means
        self._navigator = Navigator(ROBOT_RADIUS, _MARGIN, base.pose)
        self._picture = MapPicture(room, ROBOT_RADIUS)
        self._trail = [(base.pose.x, base.pose.y)]
        self._seconds = 0.0
        self._motion = 0.0, 0.0
        self._patience = _LEAST_PATIENCE
        self.outcome = Outcome(goals=2)

    def drive(self) -> Outcome:
        """To the goal with grass allowed, then back with grass forbidden.

        Raises:
            DriveError: the segmentation node does not answer, or refuses the prompts.
        """
        room, base, result = self._room, self._base, self.outcome
        self._ask_for(GRASS_IS_GROUND)
        self._leg(1, room.goal, room.direct)
        result.grass_m = base.on_grass
        self._ask_for(GRASS_IS_FORBIDDEN)
        self._leg(2, room.start, room.around)
        result.forbidden_m = base.on_grass - result.grass_m
        result.collisions, result.touched = base.collisions, base.touched
        return result

    def _leg(self, number: int, goal: np.ndarray, shortest: float) -> None:
        begun, driven = self._seconds, self._base.driven
        while self._seconds - begun < _LONGEST:
            pose, frame = self._base.pose, self._base.look()
            obstacles, ground, latency = self._perceive(frame, pose)
            if self._move(latency, goal):
                self.outcome.reached += 1
                self.outcome.ratios.append((self._base.driven - driven) / shortest)
                return
            sensor = np.array([pose.x, pose.y, CAMERA_HEIGHT])
            self._navigator.see(self._base.pose, sensor, obstacles, ground)
            self._navigator.plan(self._base.pose, goal)
            self._show(number, frame, goal)

    def _move(self, seconds: float, goal: np.ndarray) -> bool:
        """Drive on for some time with what is known; returns whether the goal was reached."""
        for _ in range(max(1, round(seconds / _STEP))):
            self._motion = self._navigator.command(self._base.pose)
            self._base.step(*self._motion, _STEP)
            self._seconds += _STEP
            pose = self._base.pose
            self._trail.append((pose.x, pose.y))
            if np.hypot(pose.x - goal[0], pose.y - goal[1]) < _ARRIVED:
                return True
        return False

    def _perceive(
        self, frame: RenderedFrame, pose: Pose
    ) -> tuple[list[np.ndarray], np.ndarray, float]:
        """Obstacles and ground of a frame in odom, and after how many seconds they act."""
        sensor = np.array([pose.x, pose.y, CAMERA_HEIGHT])
        fixed = self._means.latency
        if not self._means.semantics:
            self._means.check()
            self._means.node.publish_sensors(frame, pose, *self._motion)
            begun = time.monotonic()
            assert frame.depth is not None
            points = in_odom(geometric_clouds(frame.depth, frame.fovy), pose, MOUNT)
            standing, flat = by_height(points, sensor)
            took = time.monotonic() - begun
            self.outcome.latencies.append(took)
            return [standing], flat, took if fixed is None else fixed
        clouds, took = self._clouds(frame, pose)
        self.outcome.latencies.append(took)
        placed = {topic: in_odom(cloud, pose, MOUNT) for topic, cloud in clouds.items()}
        obstacles = [limits.usable(placed[topic], sensor) for topic, limits in OBSTACLES.items()]
        ground = [limits.usable(placed[topic], sensor) for topic, limits in FREE.items()]
        return obstacles, np.concatenate(ground), took if fixed is None else fixed

    def _clouds(self, frame: RenderedFrame, pose: Pose) -> tuple[dict[str, np.ndarray], float]:
        """The node's clouds of a frame, and how long they took in seconds."""
        node, stamps = self._means.node, set[int]()
        found: dict[str, np.ndarray] | None = None

        def arrived() -> bool:
            nonlocal found
            found = found or node.clouds_of(stamps)
            return found is not None

        end = time.monotonic() + _GIVE_UP
        while time.monotonic() < end:
            begun = time.monotonic()
            stamps.add(node.publish_sensors(frame, pose, *self._motion))
            # An image may get lost, and so does the depth of one before the node wants clouds.
            if spin_until(node, self._means.check, arrived, self._patience):
                took = time.monotonic() - begun
                self._patience = max(_LEAST_PATIENCE, _PATIENCE * took)
                assert found is not None
                return found, took
            self._patience *= 1.5
        raise DriveError(f"no clouds within {_GIVE_UP:.0f} s; see the messages above")

    def _ask_for(self, prompts: Sequence[str]) -> None:
        """Change the prompts of the segmentation node."""
        if not self._means.semantics:
            return
        node, check = self._means.node, self._means.check

        def spin(until: Callable[[], bool], seconds: float) -> bool:
            return spin_until(node, check, until, seconds)

        if not spin(lambda: node.ready, _GIVE_UP):
            raise DriveError(f"no segmentation node within {_GIVE_UP:.0f} s; see above")
        end = time.monotonic() + _CHANGE
        while True:
            answer = node.ask_for(prompts)
            if not spin(answer.done, _CHANGE):
                raise DriveError(f"~/set_prompts did not answer within {_CHANGE:.0f} s")
            if answer.result().success:
                return
            # It announces its classes a moment before it may change them.
            if time.monotonic() > end:
                raise DriveError(f"~/set_prompts refused the prompts: {answer.result().message}")
            spin(lambda: False, _PAUSE)

    def _show(self, leg: int, frame: RenderedFrame, goal: np.ndarray) -> None:
        """Publish the plan, and add a picture to the film."""
        costmap, path = self._navigator.costmap, self._navigator.path
        self._means.node.publish_plan(costmap, path)
        if self._means.film is None:
            return
        plan = self._picture.draw(costmap, path, np.array(self._trail), self._base.pose, goal)
        overlay = self._means.node.overlay
        camera = frame.rgb if overlay is None or not self._means.semantics else overlay
        said = "grass is forbidden" if leg == 2 else "grass is allowed"
        if not self._means.semantics:
            said = "depth only"
        self._means.film.add(leg, beside(camera, plan, f"{self._seconds:5.1f} s   {said}"))
