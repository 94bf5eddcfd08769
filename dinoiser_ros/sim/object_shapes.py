# SPDX-License-Identifier: Apache-2.0
"""The objects of the world: a few MuJoCo primitives each, around an origin on the floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Rng = np.random.Generator
Rgb = tuple[float, float, float]
METAL: Rgb = (0.45, 0.45, 0.47)
WOOD: Rgb = (0.45, 0.30, 0.17)


@dataclass
class Part:
    """One primitive. ``rgb`` None: painted in the object's own colour, with its pattern."""

    type: str
    size: tuple[float, ...]
    pos: tuple[float, float, float]
    rgb: Rgb | None = None
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tone: float = 1.0
    patterned: bool = False


@dataclass
class Shape:
    """Parts, radius of the footprint in metres, whether it stands with its back to a wall."""

    parts: list[Part]
    radius: float
    against_wall: bool = False
    meshes: dict[str, np.ndarray] = field(default_factory=dict)


def ball(rng: Rng) -> Shape:
    """A sphere, sometimes with a contrasting band."""
    r = float(rng.uniform(0.14, 0.36))
    parts = [Part("sphere", (r,), (0, 0, r))]
    if rng.random() < 0.3:
        tilt = float(rng.uniform(-60, 60))
        parts.append(Part("cylinder", (r * 1.01, r * 0.12), (0, 0, r), None, (tilt, 0, 0), 0.6))
    return Shape(parts, r)


def box(rng: Rng) -> Shape:
    """A closed box with a strip of tape, sometimes with a smaller one on top."""
    x, y, z = (float(v) for v in rng.uniform(0.15, 0.38, 3))
    parts = [Part("box", (x, y, z), (0, 0, z))]
    if rng.random() < 0.6:
        parts.append(Part("box", (x * 1.005, y * 0.12, z * 1.005), (0, 0, z), None, tone=0.7))
    if rng.random() < 0.25:
        s = 0.6 * min(x, y)
        yaw = float(rng.uniform(0, 90))
        parts.append(Part("box", (s, s, s), (0, 0, 2 * z + s), None, (0, 0, yaw), 0.92))
    return Shape(parts, float(np.hypot(x, y)))


def _frustum(r0: float, r1: float, height: float, sides: int = 20) -> np.ndarray:
    """Vertices (2 * sides, 3) of a cone's slice standing on z = 0."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low = np.concatenate([ring * r0, np.zeros((sides, 1))], axis=1)
    high = np.concatenate([ring * r1, np.full((sides, 1), height)], axis=1)
    return np.concatenate([low, high])


def traffic_cone(rng: Rng) -> Shape:
    """A cone in slices, one or two of them white, on a square foot."""
    height, r = float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.15, 0.24))
    slices = 5
    white = {2} if rng.random() < 0.6 else {1, 3}
    parts = [
        Part(
            "box",
            (r * 1.35, r * 1.35, 0.02),
            (0, 0, 0.02),
            (0.1, 0.1, 0.1) if rng.random() < 0.4 else None,
            tone=0.85,
        )
    ]
    meshes = {}
    for i in range(slices):
        low, high = r * (1 - 0.86 * i / slices), r * (1 - 0.86 * (i + 1) / slices)
        meshes[f"slice{i}"] = _frustum(low, high, height / slices)
        rgb = (0.93, 0.93, 0.93) if i in white else None
        parts.append(Part("mesh", (), (0, 0, 0.04 + height * i / slices), rgb))
    return Shape(parts, r * 1.5, meshes=meshes)


def person(rng: Rng) -> Shape:
    """Somebody standing or walking: clothes in the object's colour, skin, hair, trousers."""
    h = float(rng.uniform(1.5, 1.9))
    skin = tuple(np.array([0.88, 0.68, 0.54]) * rng.uniform(0.35, 1.05))
    hair = tuple(np.array([0.25, 0.17, 0.1]) * rng.uniform(0.2, 2.2))
    trousers = tuple(rng.uniform(0.05, 0.4, 3))
    stride, swing = float(rng.uniform(-22, 22)), float(rng.uniform(-25, 25))
    leg, sh = 0.24 * h, 0.13 * h
    parts = [
        Part("capsule", (0.045 * h, leg - 0.045 * h), (0, 0.05 * h, leg), trousers, (0, stride, 0)),
        Part(
            "capsule", (0.045 * h, leg - 0.045 * h), (0, -0.05 * h, leg), trousers, (0, -stride, 0)
        ),
        Part("ellipsoid", (0.075 * h, 0.115 * h, 0.19 * h), (0, 0, 0.64 * h)),
        Part("capsule", (0.028 * h, 0.13 * h), (0, sh, 0.63 * h), None, (8, swing, 0), 0.9),
        Part("capsule", (0.028 * h, 0.13 * h), (0, -sh, 0.63 * h), None, (-8, -swing, 0), 0.9),
        Part("sphere", (0.032 * h,), (0, sh * 1.15, 0.48 * h), skin),
        Part("sphere", (0.032 * h,), (0, -sh * 1.15, 0.48 * h), skin),
        Part("cylinder", (0.03 * h, 0.03 * h), (0, 0, 0.83 * h), skin),
        Part("ellipsoid", (0.062 * h, 0.055 * h, 0.075 * h), (0, 0, 0.91 * h), skin),
        Part("ellipsoid", (0.064 * h, 0.06 * h, 0.055 * h), (-0.012 * h, 0, 0.95 * h), hair),
    ]
    return Shape(parts, 0.3)


def chair(rng: Rng) -> Shape:
    """Seat, back rest (solid or of slats) and four legs."""
    w, seat = float(rng.uniform(0.2, 0.27)), float(rng.uniform(0.42, 0.5))
    top = seat + float(rng.uniform(0.4, 0.6))
    leg_rgb = METAL if rng.random() < 0.4 else None
    parts = [Part("box", (w, w, 0.025), (0, 0, seat))]
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts.append(
                Part(
                    "box",
                    (0.022, 0.022, seat / 2),
                    (sx * w * 0.88, sy * w * 0.88, seat / 2),
                    leg_rgb,
                    tone=0.85,
                )
            )
    if rng.random() < 0.5:
        middle, half = (seat + top) / 2 + 0.05, (top - seat) / 2 - 0.05
        parts.append(Part("box", (0.02, w, half), (-w * 0.9, 0, middle)))
    else:
        for z in np.linspace(seat + 0.15, top - 0.04, 3):
            parts.append(Part("box", (0.018, w, 0.04), (-w * 0.9, 0, float(z))))
    for sy in (-1, 1):
        z = (seat + top) / 2
        parts.append(
            Part("box", (0.02, 0.02, (top - seat) / 2), (-w * 0.9, sy * w * 0.9, z), leg_rgb)
        )
    return Shape(parts, w * 1.45)


def table(rng: Rng) -> Shape:
    """A round or a rectangular top on one or four legs."""
    h = float(rng.uniform(0.65, 0.8))
    if rng.random() < 0.3:
        r = float(rng.uniform(0.4, 0.6))
        parts = [
            Part("cylinder", (r, 0.022), (0, 0, h)),
            Part("cylinder", (0.05, h / 2), (0, 0, h / 2), METAL),
            Part("cylinder", (0.25, 0.02), (0, 0, 0.02), METAL),
        ]
        return Shape(parts, r)
    x, y = float(rng.uniform(0.45, 0.85)), float(rng.uniform(0.32, 0.5))
    leg_rgb = METAL if rng.random() < 0.3 else None
    parts = [Part("box", (x, y, 0.03), (0, 0, h))]
    for sx in (-1, 1):
        for sy in (-1, 1):
            parts.append(
                Part(
                    "box",
                    (0.035, 0.035, h / 2),
                    (sx * (x - 0.06), sy * (y - 0.06), h / 2),
                    leg_rgb,
                    tone=0.85,
                )
            )
    return Shape(parts, float(np.hypot(x, y)))


def door(rng: Rng) -> Shape:
    """A leaf with two panels, a frame and a handle; its back is at y = 0."""
    w, h = float(rng.uniform(0.4, 0.52)), float(rng.uniform(1.95, 2.15))
    frame = None if rng.random() < 0.5 else (0.85, 0.85, 0.83)
    parts = [
        Part("box", (w, 0.03, h / 2), (0, 0.03, h / 2)),
        Part("box", (w * 0.7, 0.04, h * 0.18), (0, 0.03, h * 0.28), None, tone=0.85),
        Part("box", (w * 0.7, 0.04, h * 0.18), (0, 0.03, h * 0.73), None, tone=0.85),
        Part("box", (0.05, 0.05, h / 2 + 0.04), (w + 0.05, 0.03, h / 2 + 0.04), frame, tone=0.75),
        Part("box", (0.05, 0.05, h / 2 + 0.04), (-w - 0.05, 0.03, h / 2 + 0.04), frame, tone=0.75),
        Part("box", (w + 0.1, 0.05, 0.05), (0, 0.03, h + 0.05), frame, tone=0.75),
        Part("sphere", (0.045,), (w * 0.8, 0.1, h * 0.48), (0.75, 0.68, 0.4)),
    ]
    return Shape(parts, w + 0.15, against_wall=True)


def plant(rng: Rng) -> Shape:
    """Leaves in a pot."""
    pot_r, pot_h = float(rng.uniform(0.13, 0.22)), float(rng.uniform(0.1, 0.18))
    pots = [(0.65, 0.32, 0.2), (0.85, 0.85, 0.82), (0.3, 0.3, 0.32), (0.25, 0.35, 0.5)]
    parts = [
        Part("cylinder", (pot_r, pot_h), (0, 0, pot_h), pots[rng.integers(len(pots))]),
        Part("cylinder", (0.02, 0.2), (0, 0, 2 * pot_h + 0.15), WOOD),
    ]
    green = np.array([0.16, 0.42, 0.14]) * rng.uniform(0.6, 1.4)
    spread = float(rng.uniform(0.2, 0.38))
    tall = float(rng.uniform(0.35, 0.8))
    for _ in range(int(rng.integers(9, 15))):
        angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.0) * spread
        z = 2 * pot_h + rng.uniform(0.1, 1.0) * tall
        rgb = tuple(np.clip(green * rng.uniform(0.7, 1.4), 0, 1))
        size = (rng.uniform(0.1, 0.2), rng.uniform(0.03, 0.07), rng.uniform(0.02, 0.04))
        pos = (out * np.cos(angle), out * np.sin(angle), z)
        euler = (rng.uniform(-40, 40), rng.uniform(-50, 20), np.degrees(angle))
        parts.append(Part("ellipsoid", size, pos, rgb, euler, patterned=True))
    return Shape(parts, spread + 0.05)


def shelf(rng: Rng) -> Shape:
    """Boards between two sides; its back is at y = 0."""
    w, depth, h = (
        float(rng.uniform(0.4, 0.75)),
        float(rng.uniform(0.13, 0.2)),
        float(rng.uniform(1.1, 1.9)),
    )
    boards = int(rng.integers(3, 6))
    parts = [Part("box", (0.025, depth, h / 2), (s * w, depth, h / 2)) for s in (-1, 1)]
    for z in np.linspace(0.06, h - 0.02, boards):
        parts.append(Part("box", (w, depth, 0.022), (0, depth, float(z)), None, tone=0.92))
    if rng.random() < 0.5:
        parts.append(Part("box", (w, 0.012, h / 2), (0, 0.014, h / 2), None, tone=0.6))
    return Shape(parts, max(w, depth) + 0.05, against_wall=True)


def barrel(rng: Rng) -> Shape:
    """A drum with ribs and a darker lid."""
    r, h = float(rng.uniform(0.24, 0.34)), float(rng.uniform(0.36, 0.5))
    parts = [Part("cylinder", (r, h), (0, 0, h))]
    for z in (0.04, 0.66 * h, 1.34 * h, 2 * h - 0.03):
        parts.append(Part("cylinder", (r * 1.05, 0.025), (0, 0, float(z)), None, tone=0.75))
    parts.append(Part("cylinder", (r * 0.9, 0.01), (0, 0, 2 * h + 0.006), None, tone=0.6))
    return Shape(parts, r * 1.05)


SHAPES: dict[str, Callable[[Rng], Shape]] = {
    "ball": ball,
    "box": box,
    "traffic cone": traffic_cone,
    "person": person,
    "chair": chair,
    "table": table,
    "door": door,
    "plant": plant,
    "shelf": shelf,
    "barrel": barrel,
}
