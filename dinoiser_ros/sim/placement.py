# SPDX-License-Identifier: Apache-2.0
"""Where the camera stands and where the objects go."""

from __future__ import annotations

import numpy as np

from .scene import Placed, Scene

Rng = np.random.Generator
_INWARD_YAW = {"east": 180.0, "west": 0.0, "north": 270.0, "south": 90.0}


def set_camera(scene: Scene, x: float, y: float, z: float, yaw: float, pitch: float) -> None:
    """Put the camera at (x, y, z) in metres, looking along ``yaw`` and ``pitch``.

    Both angles are in radians; a positive pitch looks up.
    """
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    axes = np.stack([right, np.cross(right, forward), -forward], axis=1)
    scene.model.cam_pos[0] = (x, y, z)
    scene.model.cam_quat[0] = _quaternion(axes)


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) to quaternion (w, x, y, z).

    It is the eigenvector of the largest eigenvalue of Bar-Itzhack's matrix.
    """
    m = matrix
    k = (
        np.array(
            [
                [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
                [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
                [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
                [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
            ]
        )
        / 3
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z])


def place(scene: Scene, item: Placed, x: float, y: float, yaw: float) -> None:
    """Stand an object on the floor at (x, y) metres, turned by ``yaw`` radians."""
    item.x, item.y, item.shown = x, y, True
    scene.model.body_pos[item.body] = (x, y, 0.012)
    scene.model.body_quat[item.body] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))


def hide(scene: Scene, item: Placed) -> None:
    """Put an object out of sight, far below the floor."""
    item.shown = False
    scene.model.body_pos[item.body] = (0, 0, -20)


def clear_of_others(scene: Scene, item: Placed, x: float, y: float) -> bool:
    """Whether the object fits at (x, y) without touching another one."""
    return all(
        np.hypot(x - other.x, y - other.y) > item.shape.radius + other.shape.radius
        for other in scene.objects
        if other.shown and other is not item
    )


def _at_wall(scene: Scene, rng: Rng, item: Placed) -> tuple[float, float, float] | None:
    """A place at a random wall, back to it: x, y, yaw. None where the scene has no wall."""
    if not scene.walls:
        return None
    side = scene.walls[rng.integers(len(scene.walls))]
    along = scene.half[1] if side in ("east", "west") else scene.half[0]
    if along < item.shape.radius + 0.1:
        return None
    offset = rng.uniform(-1, 1) * min(
        along * (1.0 if scene.indoor else 0.5), along - item.shape.radius
    )
    x, y = {
        "east": (scene.half[0], offset),
        "west": (-scene.half[0], offset),
        "north": (offset, scene.half[1]),
        "south": (offset, -scene.half[1]),
    }[side]
    return x, y, np.radians(_INWARD_YAW[side]) - np.pi / 2


def _inside(scene: Scene, x: float, y: float, margin: float) -> bool:
    return abs(x) < scene.half[0] - margin and abs(y) < scene.half[1] - margin


def _propose_in_view(
    scene: Scene, rng: Rng, item: Placed, camera: np.ndarray
) -> tuple[float, float, float] | None:
    """A place for ``item`` that the camera (x, y, yaw, half field of view) sees, or None."""
    near, far = 0.7 + item.shape.radius, 6.0
    if item.shape.against_wall and scene.walls and rng.random() < 0.85:
        found = _at_wall(scene, rng, item)
        if found is None:
            return None
        x, y, yaw = found
        angle = (np.arctan2(y - camera[1], x - camera[0]) - camera[2] + np.pi) % (2 * np.pi) - np.pi
        distance = np.hypot(x - camera[0], y - camera[1])
        return found if abs(angle) < camera[3] and near < distance < 8 else None
    distance = near + (far - near) * rng.random() ** 1.4
    angle = camera[2] + rng.uniform(-1, 1) * camera[3]
    x, y = camera[0] + distance * np.cos(angle), camera[1] + distance * np.sin(angle)
    if not _inside(scene, x, y, item.shape.radius + 0.05):
        return None
    return x, y, rng.uniform(0, 2 * np.pi)


def snapshot(scene: Scene, rng: Rng, objects: tuple[int, int] = (3, 10)) -> None:
    """A random camera pose, with some of the objects put where it looks.

    Args:
        objects: least and greatest number of objects.
    """
    fov = np.radians(scene.model.cam_fovy[0])
    for _ in range(30):
        x, y = rng.uniform(-0.92, 0.92, 2) * np.array(scene.half)
        yaw = rng.uniform(0, 2 * np.pi)
        ahead = 2.2
        if _inside(scene, x + ahead * np.cos(yaw), y + ahead * np.sin(yaw), 0.0):
            break
    set_camera(scene, x, y, rng.uniform(0.45, 1.5), yaw, np.radians(rng.uniform(-24, 2)))
    for item in scene.objects:
        hide(scene, item)
    camera = np.array([x, y, yaw, np.arctan(np.tan(fov / 2) * 4 / 3) * 0.95])
    wanted = int(rng.integers(objects[0], objects[1] + 1))
    for index in rng.permutation(len(scene.objects))[:wanted]:
        item = scene.objects[index]
        for _ in range(12):
            found = _propose_in_view(scene, rng, item, camera)
            if found is not None and clear_of_others(scene, item, found[0], found[1]):
                place(scene, item, *found)
                break


def furnish(scene: Scene, rng: Rng, path: np.ndarray, clearance: float = 0.55) -> None:
    """Spread all objects over the scene, ``clearance`` metres away from ``path`` (N, 2)."""
    for item in scene.objects:
        hide(scene, item)
    for item in scene.objects:
        for _ in range(60):
            found = _at_wall(scene, rng, item) if item.shape.against_wall else None
            if found is None:
                x, y = rng.uniform(-1, 1, 2) * (np.array(scene.half) - item.shape.radius - 0.1)
                found = x, y, rng.uniform(0, 2 * np.pi)
            distance = np.hypot(path[:, 0] - found[0], path[:, 1] - found[1]).min()
            far = distance > clearance + item.shape.radius
            if far and clear_of_others(scene, item, found[0], found[1]):
                place(scene, item, *found)
                break
