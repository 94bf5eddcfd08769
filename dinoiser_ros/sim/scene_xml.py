# SPDX-License-Identifier: Apache-2.0
"""The parts of a random scene as MuJoCo XML: floors, walls, lights and objects."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from . import textures
from .classes import CLASS_IDS
from .colouring import Thing, paint
from .object_shapes import SHAPES, Shape
from .patterns import pattern

Rng = np.random.Generator
GROUND_HALF = 40.0


@dataclass
class Draft:
    """The XML being written: assets, bodies, and what each geom (by name) belongs to."""

    rng: Rng
    assets: list[str] = field(default_factory=list)
    world: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    things: list[Thing] = field(default_factory=lambda: [Thing(CLASS_IDS["sky"])])
    owner: dict[str, int] = field(default_factory=dict)


def numbers(values: Iterable[float]) -> str:
    """Values of an XML attribute."""
    return " ".join(f"{float(v):.4f}" for v in values)


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _add_material(draft: Draft, name: str, image: np.ndarray, extent: float) -> None:
    draft.files[f"{name}.png"] = _png(image)
    draft.assets.append(f'<texture name="{name}" type="2d" file="{name}.png"/>')
    shine = draft.rng.uniform(0, 0.25)
    draft.assets.append(
        f'<material name="{name}" texture="{name}" texuniform="true" specular="{shine:.2f}" '
        f'texrepeat="{1 / extent:.4f} {1 / extent:.4f}"/>'
    )


def add_surface(draft: Draft, kind: str, attributes: str) -> None:
    """A plane of class ``kind`` with a fresh texture."""
    rng, name = draft.rng, f"surface{len(draft.things)}"
    colour = None
    if kind == "carpet":
        colour, rgb = paint(rng, kind)
        image = textures.carpet(rng, rgb)
    else:
        image = textures.PLAIN[kind](rng)
    _add_material(draft, name, image, rng.uniform(*textures.EXTENT[kind]))
    draft.owner[name] = len(draft.things)
    draft.things.append(Thing(CLASS_IDS[kind], colour))
    draft.world.append(f'<geom name="{name}" type="plane" material="{name}" {attributes}/>')


def add_floors(draft: Draft, half: tuple[float, float], indoor: bool) -> None:
    """The ground, and often a second floor in part of it: a rug, a path, a patio."""
    rng = draft.rng
    if indoor:
        kinds = ["wooden floor", "tiled floor", "concrete floor", "carpet"]
        first = kinds[rng.integers(4)]
        size = (half[0], half[1])
        kinds += ["carpet"]
    else:
        kinds = ["grass", "concrete floor", "tiled floor"]
        first = kinds[rng.choice(3, p=[0.6, 0.25, 0.15])]
        size = (GROUND_HALF, GROUND_HALF)
    add_surface(draft, first, f'size="{numbers(size)} 1"')
    if rng.random() < 0.6:
        others = [kind for kind in kinds if kind != first]
        second = others[rng.integers(len(others))]
        extent = np.array(half) * rng.uniform(0.3, 0.8, 2)
        centre = (np.array(half) - extent) * rng.uniform(-1, 1, 2)
        if not indoor and rng.random() < 0.5:
            extent[0], centre[0] = GROUND_HALF, 0.0
        add_surface(draft, second, f'size="{numbers(extent)} 1" pos="{numbers(centre)} 0.012"')


def add_walls(draft: Draft, half: tuple[float, float], indoor: bool) -> list[str]:
    """Walls on some or all of the four sides; returns the sides that have one."""
    rng = draft.rng
    height = rng.uniform(2.5, 3.6) if indoor else rng.uniform(1.6, 5.0)
    kinds = ["white wall", "brick wall"]
    main = kinds[rng.integers(2)]
    sides = {
        "east": (half[0], 0, 90, 1),
        "west": (-half[0], 0, -90, 1),
        "north": (0, half[1], 180, 0),
        "south": (0, -half[1], 0, 0),
    }
    present = []
    for side, (x, y, yaw, axis) in sides.items():
        if not indoor and rng.random() < 0.6:
            continue
        present.append(side)
        kind = main if rng.random() < 0.6 else kinds[rng.integers(2)]
        length = half[axis] * (1.0 if indoor else rng.uniform(0.5, 1.0))
        add_surface(
            draft,
            kind,
            f'size="{length:.3f} {height / 2:.3f} 1" '
            f'pos="{x:.3f} {y:.3f} {height / 2:.3f}" xyaxes="{_wall_axes(yaw)}"',
        )
    if indoor:
        draft.world.append(
            f'<geom name="ceiling" type="plane" size="{numbers(half)} 1" pos="0 0 {height:.3f}" '
            f'zaxis="0 0 -1" rgba="0.86 0.86 0.84 1"/>'
        )
    return present


def _wall_axes(yaw: float) -> str:
    """X and y axes of an upright plane whose normal, x cross y, points into the room."""
    angle = np.radians(yaw)
    normal = np.array([-np.sin(angle), np.cos(angle), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    return numbers([*np.cross(up, normal), *up])


def add_lights(draft: Draft, half: tuple[float, float], indoor: bool) -> None:
    """Lamps of a room or the sun of a yard, of random strength, and the sky."""
    rng = draft.rng
    if indoor:
        for index in range(int(rng.integers(1, 3))):
            x, y = rng.uniform(-0.6, 0.6, 2) * np.array(half)
            power = rng.uniform(0.35, 0.7)
            draft.world.append(
                f'<light pos="{x:.2f} {y:.2f} 2.4" dir="0 0 -1" cutoff="90" exponent="1" diffuse='
                f'"{numbers(power * (1 - rng.uniform(0, 0.12, 3)))}" '
                f'castshadow="{str(index == 0).lower()}"/>'
            )
    else:
        tilt = rng.uniform(-0.9, 0.9, 2)
        power = rng.uniform(0.4, 0.85)
        draft.world.append(
            f'<light directional="true" pos="0 0 6" dir="{numbers(tilt)} -1" castshadow="true" '
            f'diffuse="{numbers(power * (1 - rng.uniform(0, 0.1, 3)))}"/>'
        )
    high = rng.uniform(0.45, 0.85)
    low = high * rng.uniform(0.75, 1.15)
    top, bottom = (
        rng.uniform([0.15, 0.3, 0.6], [0.5, 0.65, 1.0]),
        rng.uniform([0.6, 0.7, 0.8], [0.95, 0.95, 1.0]),
    )
    draft.assets.append(
        f'<texture type="skybox" builtin="gradient" width="128" height="768" '
        f'rgb1="{numbers(bottom * high / 0.7)}" rgb2="{numbers(top * low / 0.7)}"/>'
    )


def _add_paint(draft: Draft, body: str, name: str) -> None:
    """Two materials for an object: plain, and with the pattern of its kind for painted parts."""
    shine = draft.rng.uniform(0, 0.7)
    look = f'specular="{shine:.2f}" shininess="{shine:.2f}"'
    draft.assets.append(f'<material name="{body}" {look}/>')
    drawn = pattern(draft.rng, name)
    if drawn is not None:
        image, extent = drawn
        draft.files[f"{body}.png"] = _png(image)
        draft.assets.append(f'<texture name="{body}" type="cube" file="{body}.png"/>')
        look += f' texture="{body}"'
        if extent is not None:
            look += f' texuniform="true" texrepeat="{1 / extent:.3f} {1 / extent:.3f}"'
    draft.assets.append(f'<material name="{body}_paint" {look}/>')


def add_object(draft: Draft, index: int, name: str) -> tuple[str, Shape, list[tuple[str, float]]]:
    """Add a body with its parts, hidden under the floor until it is placed.

    Returns:
        Name of the body, its shape, and what is painted: (geom name, brightness) pairs.
    """
    shape = SHAPES[name](draft.rng)
    body, thing, painted = f"object{index}", len(draft.things), []
    draft.things.append(Thing(CLASS_IDS[name]))
    _add_paint(draft, body, name)
    for mesh, vertices in shape.meshes.items():
        draft.assets.append(f'<mesh name="{body}_{mesh}" vertex="{numbers(vertices.ravel())}"/>')
    meshes, lines = iter(shape.meshes), []
    for number, part in enumerate(shape.parts):
        geom = f"{body}_{number}"
        draft.owner[geom] = thing
        if part.rgb is None:
            painted.append((geom, part.tone))
        size = f'size="{numbers(part.size)}"' if part.size else f'mesh="{body}_{next(meshes)}"'
        lines.append(
            f'<geom name="{geom}" type="{part.type}" {size} pos="{numbers(part.pos)}" '
            f'material="{body}{"_paint" if part.rgb is None or part.patterned else ""}" '
            f'euler="{numbers(part.euler)}" rgba="{numbers(part.rgb or (0.5, 0.5, 0.5))} 1"/>'
        )
    draft.world.append(f'<body name="{body}" pos="0 0 -20">{"".join(lines)}</body>')
    return body, shape, painted
