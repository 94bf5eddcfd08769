# SPDX-License-Identifier: Apache-2.0
"""Pictures of a drive: what the robot knows, beside what its camera sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .costmap import FREE, LETHAL, RollingCostmap
from .follower import Pose
from .room import Room

SIDE = 480  # pixels of the map, and rows of the camera's picture
_MARGIN = 0.6  # metres around the room
_UNKNOWN, _KNOWN, _BLOCKED = (96, 96, 104), (228, 228, 224), (200, 60, 40)
_LAWN, _THING, _WALL = (60, 150, 60), (90, 90, 90), (30, 30, 30)
_PATH, _TRAIL, _GOAL, _ROBOT = (30, 90, 220), (120, 160, 230), (230, 150, 0), (20, 50, 140)


class MapPicture:
    """Draws the costmap of a robot over the floor plan of its room.

    Args:
        room: where.
        radius: of the robot in metres.
    """

    def __init__(self, room: Room, radius: float) -> None:
        self._room, self._radius = room, radius
        self._reach = max(room.half) + _MARGIN
        self._scale = SIDE / (2 * self._reach)

    def draw(
        self,
        costmap: RollingCostmap,
        path: np.ndarray,
        trail: np.ndarray,
        pose: Pose,
        goal: np.ndarray,
    ) -> Image.Image:
        """The map, `SIDE` pixels square, x to the right and y up.

        Args:
            costmap: what is known.
            path: (N, 2) metres, where the robot wants to go.
            trail: (N, 2) metres, where it was.
            pose: where it is.
            goal: (2,) metres.
        """
        image = Image.fromarray(self._floor(costmap))
        drawing = ImageDraw.Draw(image)
        self._plan(drawing)
        for places, colour, width in ((trail, _TRAIL, 3), (path, _PATH, 2)):
            if len(places) > 1:
                drawing.line([self._at(*place) for place in places.tolist()], colour, width)
        self._circle(drawing, float(goal[0]), float(goal[1]), 0.15, _GOAL, _GOAL)
        self._circle(drawing, pose.x, pose.y, self._radius, _ROBOT)
        nose = (
            pose.x + self._radius * np.cos(pose.yaw),
            pose.y + self._radius * np.sin(pose.yaw),
        )
        drawing.line([self._at(pose.x, pose.y), self._at(*nose)], _ROBOT, 3)
        return image

    def _floor(self, costmap: RollingCostmap) -> np.ndarray:
        """(SIDE, SIDE, 3) uint8: the state of the cell under each pixel."""
        along = (np.arange(SIDE) + 0.5) / self._scale - self._reach
        x, y = np.meshgrid(along, -along)
        states = costmap.states_at(np.stack([x.ravel(), y.ravel()], axis=1))
        colours = np.full((SIDE * SIDE, 3), _UNKNOWN, np.uint8)
        colours[states == FREE], colours[states == LETHAL] = _KNOWN, _BLOCKED
        return colours.reshape(SIDE, SIDE, 3)

    def _plan(self, drawing: ImageDraw.ImageDraw) -> None:
        """Outlines of what is truly there."""
        west, east, south, north = self._room.lawn
        drawing.rectangle([self._at(west, north), self._at(east, south)], outline=_LAWN, width=2)
        x, y = self._room.half
        ends = {
            "east": ((x, -y), (x, y)),
            "west": ((-x, -y), (-x, y)),
            "north": ((-x, y), (x, y)),
            "south": ((-x, -y), (x, -y)),
        }
        for side in self._room.scene.walls:
            drawing.line([self._at(*end) for end in ends[side]], _WALL, 3)
        for item in self._room.scene.objects:
            if item.shown:
                self._circle(drawing, item.x, item.y, item.shape.radius, _THING)

    def _circle(
        self,
        drawing: ImageDraw.ImageDraw,
        x: float,
        y: float,
        radius: float,
        outline: tuple[int, int, int],
        fill: tuple[int, int, int] | None = None,
    ) -> None:
        corners = [self._at(x - radius, y + radius), self._at(x + radius, y - radius)]
        drawing.ellipse(corners, fill=fill, outline=outline, width=2)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return (x + self._reach) * self._scale, (self._reach - y) * self._scale


def beside(camera: np.ndarray, plan: Image.Image, caption: str) -> np.ndarray:
    """Camera picture and map side by side, with a line of text.

    Args:
        camera: (H, W, 3) uint8 RGB.
        plan: of `MapPicture`.
        caption: in plain letters.

    Returns:
        (SIDE, width, 3) uint8 RGB.
    """
    height, width = camera.shape[:2]
    size = (round(width * SIDE / height / 2) * 2, SIDE)
    image = Image.new("RGB", (size[0] + SIDE, SIDE))
    image.paste(Image.fromarray(camera).resize(size), (0, 0))
    image.paste(plan, (size[0], 0))
    drawing = ImageDraw.Draw(image)
    drawing.rectangle([size[0], 0, size[0] + SIDE, 30], fill=(0, 0, 0))
    font = ImageFont.load_default(20)
    drawing.text((size[0] + 8, 3), caption, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def strip(frames: Sequence[np.ndarray], width: int = 720) -> Image.Image:
    """Some pictures one below the other, `width` pixels wide."""
    rows = [Image.fromarray(frame) for frame in frames]
    height = round(rows[0].height * width / rows[0].width)
    image = Image.new("RGB", (width, height * len(rows)))
    for index, row in enumerate(rows):
        image.paste(row.resize((width, height), Image.Resampling.LANCZOS), (0, index * height))
    return image
