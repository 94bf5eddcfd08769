# SPDX-License-Identifier: Apache-2.0
"""A round robot with a camera on a mast in a room: moves it, renders, and notes what it touched.

The base is kinematic: it has the speed that it is told, and stops at what it touches.
"""

from __future__ import annotations

import numpy as np

from dinoiser_ros.sim.camera import RenderedFrame, SceneCamera
from dinoiser_ros.sim.gl import load_mujoco
from dinoiser_ros.sim.placement import set_camera

from .follower import Pose
from .frames import camera_mount
from .room import ROBOT_BODY, Room

CAMERA_HEIGHT = 0.9  # metres
CAMERA_TILT = float(np.radians(24.0))
MOUNT = camera_mount(CAMERA_HEIGHT, CAMERA_TILT)
_CONTACT = 0.005  # metres


class SimulatedBase:
    """The robot in a room. Its GL context belongs to the thread that creates it.

    Args:
        room: where; the robot stands at its start and looks towards its goal.
        radius: of the robot in metres.
        width, height: of its images in pixels.

    Attributes:
        pose: where it is.
        driven: metres so far.
        on_grass: metres of them that its middle was on grass.
        collisions: how often it began to touch something.
        touched: class names of what it touched.
    """

    def __init__(self, room: Room, radius: float, width: int = 320, height: int = 240) -> None:
        self.pose = Pose(float(room.start[0]), float(room.start[1]), 0.0)
        self.driven = self.on_grass = 0.0
        self.collisions = 0
        self.touched: list[str] = []
        self._room, self._radius = room, radius
        self._mujoco = load_mujoco()
        self._in_contact = False
        scene = room.scene
        self._geom = scene.model.geom(ROBOT_BODY).id
        self._body = scene.model.body(ROBOT_BODY).id
        owners = {item.thing: item for item in scene.objects if item.shown}
        self._solid = [
            (index, owners[owner])
            for index, owner in enumerate(scene.geom_thing.tolist())
            if owner in owners
        ]
        self._camera = SceneCamera(scene, width, height)

    def close(self) -> None:
        """Free the GL context."""
        self._camera.close()

    def __enter__(self) -> SimulatedBase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self) -> RenderedFrame:
        """What its camera sees, with depth."""
        pose = self.pose
        set_camera(self._room.scene, pose.x, pose.y, CAMERA_HEIGHT, pose.yaw, -CAMERA_TILT)
        return self._camera.render()

    def step(self, speed: float, turn: float, seconds: float) -> None:
        """Drive an arc, unless something is in the way: speed in m/s, turn in rad/s."""
        moved = self.pose.moved(speed, turn, seconds)
        names = self._contacts(moved)
        if names and not self._in_contact:
            self.collisions += 1
            self.touched += names
        self._in_contact = bool(names)
        if names:
            self.pose = self.pose.moved(0.0, turn, seconds)
            return
        length = float(np.hypot(moved.x - self.pose.x, moved.y - self.pose.y))
        self.driven += length
        if self._room.on_grass((moved.x + self.pose.x) / 2, (moved.y + self.pose.y) / 2):
            self.on_grass += length
        self.pose = moved

    def _contacts(self, pose: Pose) -> list[str]:
        """Names of what the robot would touch at a pose."""
        found = []
        beyond = np.abs([pose.x, pose.y]) > np.array(self._room.half) - self._radius
        walled = {"east": pose.x > 0, "west": pose.x < 0, "north": pose.y > 0, "south": pose.y < 0}
        for side in self._room.scene.walls:
            if beyond[0 if side in ("east", "west") else 1] and walled[side]:
                found.append("wall")
        model, data = self._room.scene.model, self._room.scene.data
        near = [
            (geom, item.name)
            for geom, item in self._solid
            if np.hypot(pose.x - item.x, pose.y - item.y) < item.shape.radius + self._radius + 0.1
        ]
        if near:
            model.body_pos[self._body] = (pose.x, pose.y, 0.0)
            self._mujoco.mj_kinematics(model, data)
        for geom, name in near:
            gap = self._mujoco.mj_geomDistance(model, data, self._geom, geom, 1.0, None)
            if gap < _CONTACT and name not in found:
                found.append(name)
        return found
