# SPDX-License-Identifier: Apache-2.0
"""Rooms to drive through: a lawn between start and goal, and objects in the way around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dinoiser_ros.sim.classes import CLASSES
from dinoiser_ros.sim.placement import clear_of_others, hide, place
from dinoiser_ros.sim.scene import Scene, complete_scene, repaint
from dinoiser_ros.sim.scene_xml import Draft, add_lights, add_surface, add_walls, numbers

from .costmap import RollingCostmap, inflated
from .planner import cheapest_path, path_length

GRASS = CLASSES.index("grass")
ROOM_SEED = 9_000_000  # of the first room; no model was trained on scenes from here on
_GROUND_HALF = 40.0
_FREE = 0.9  # metres around start and goal without an object
_CLEARANCE = 0.2  # metres beside the robot on the way that is known to exist
_TRIALS = 60
_DETOUR = 0.4  # metres that the way around the grass is longer, at least
FOVY = 58.0
ROBOT_BODY, _ROBOT_HEIGHT = "base", 1.0
# Without chairs and tables: the model demo misses most of their thin legs.
OBSTACLES = ("ball", "box", "traffic cone", "person", "door", "plant", "shelf", "barrel")


@dataclass
class Room:
    """A room and the way through it.

    Attributes:
        scene: its model.
        half: half of its sides in metres, (x, y); its middle is the origin of odom.
        lawn: of the grass: x from, x to, y from, y to, in metres.
        start, goal: (2,) metres.
        direct: length of the shortest true path from start to goal, over the grass, in metres.
        around: the same without the grass.
    """

    scene: Scene
    half: tuple[float, float]
    lawn: tuple[float, float, float, float]
    start: np.ndarray
    goal: np.ndarray
    direct: float
    around: float

    def on_grass(self, x: float, y: float) -> bool:
        """Whether a point is on the lawn."""
        return self.lawn[0] <= x <= self.lawn[1] and self.lawn[2] <= y <= self.lawn[3]


def build_room(
    number: int, robot_radius: float, width: int = 320, height: int = 240, objects: int = 8
) -> Room:
    """The room of a number, furnished; there is always a way around the grass.

    Args:
        number: from 0; the same number gives the same room.
        robot_radius: metres.
        width, height: of the images, in pixels.
        objects: how many stand around, where they have room.

    Raises:
        RendererUnavailable: MuJoCo or a GL library is missing.
    """
    rng = np.random.default_rng([ROOM_SEED + number, 8])
    half = (float(rng.uniform(3.4, 4.2)), float(rng.uniform(2.7, 3.4)))
    middle = np.array([rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.5)])
    extent = np.array([rng.uniform(0.7, 1.1), rng.uniform(0.9, 1.3)])
    scene = _scene(rng, half, middle, extent, (width, height), objects, robot_radius)
    repaint(scene, rng)
    low, high = middle - extent, middle + extent
    room = Room(
        scene,
        half,
        (float(low[0]), float(high[0]), float(low[1]), float(high[1])),
        np.array([-half[0] + 0.9, middle[1] + rng.uniform(-0.5, 0.5)]),
        np.array([half[0] - 0.9, middle[1] + rng.uniform(-0.5, 0.5)]),
        0.0,
        0.0,
    )
    _furnish(room, rng, robot_radius + _CLEARANCE)
    room.direct = shortest(room, robot_radius, forbidden=False) or 0.0
    room.around = shortest(room, robot_radius, forbidden=True) or 0.0
    return room


def _scene(
    rng: np.random.Generator,
    half: tuple[float, float],
    middle: np.ndarray,
    extent: np.ndarray,
    size: tuple[int, int],
    objects: int,
    robot_radius: float,
) -> Scene:
    draft = Draft(rng)
    floor = ("concrete floor", "tiled floor")[rng.integers(2)]
    add_surface(draft, floor, f'size="{_GROUND_HALF} {_GROUND_HALF} 1"')
    add_surface(draft, "grass", f'size="{numbers(extent)} 1" pos="{numbers(middle)} 0.012"')
    walls = add_walls(draft, half, indoor=False)
    add_lights(draft, half, indoor=False)
    # Of a group that is not rendered: it is there to measure distances to.
    draft.world.append(
        f'<body name="{ROBOT_BODY}"><geom name="{ROBOT_BODY}" type="cylinder" group="4" '
        f'size="{robot_radius} {_ROBOT_HEIGHT / 2}" pos="0 0 {_ROBOT_HEIGHT / 2 + 0.03}"/></body>'
    )
    names = [str(name) for name in np.resize(rng.permutation(OBSTACLES), objects)]
    return complete_scene(draft, half, False, walls, names, size, FOVY)


def _furnish(room: Room, rng: np.random.Generator, clearance: float) -> None:
    """Put each object where a way around the grass and a shorter one across it are left."""
    scene = room.scene
    for item in scene.objects:
        hide(scene, item)
    for item in scene.objects:
        for _ in range(_TRIALS):
            x, y = rng.uniform(-1, 1, 2) * (np.array(room.half) - item.shape.radius - 0.1)
            ends = min(np.hypot(*(room.start - (x, y))), np.hypot(*(room.goal - (x, y))))
            if ends < _FREE + item.shape.radius or not clear_of_others(scene, item, x, y):
                continue
            place(scene, item, x, y, rng.uniform(0, 2 * np.pi))
            around, across = (shortest(room, clearance, forbidden) for forbidden in (True, False))
            if around and across and around - across > _DETOUR:
                break
            hide(scene, item)


def shortest(room: Room, robot_radius: float, forbidden: bool) -> float | None:
    """Length of the shortest path from start to goal, None if there is none.

    Args:
        room: where.
        robot_radius: metres to keep from everything.
        forbidden: whether the grass must not be entered.
    """
    grid = RollingCostmap(size=2 * max(room.half) + 1.0, resolution=0.1)
    side = np.arange(len(grid.states))
    columns, rows = (axis.ravel() for axis in np.meshgrid(side, side))
    centres = grid.centres(np.stack([columns, rows], axis=1))
    x, y = centres.T
    solid = (np.abs(x) > room.half[0]) | (np.abs(y) > room.half[1])
    for item in room.scene.objects:
        if item.shown:
            solid |= np.hypot(x - item.x, y - item.y) < item.shape.radius
    if forbidden:
        west, east, south, north = room.lawn
        solid |= (x >= west) & (x <= east) & (y >= south) & (y <= north)
    grid.states[:] = 0
    grid.mark(centres[solid])
    cost = inflated(grid.states, grid.resolution, robot_radius, soft=1e-3, weight=0.0)
    start, goal = grid.cells(np.stack([room.start, room.goal])).tolist()
    path, arrives = cheapest_path(cost, tuple(start), tuple(goal))
    return path_length(path) * grid.resolution if arrives else None
