# SPDX-License-Identifier: Apache-2.0
"""A random scene: a room or yard with surfaces, objects and a camera, as a MuJoCo model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .classes import COLOUR_NAMES, COLOURED, COLOURS, OBJECTS, is_held_out
from .colouring import Thing, paint
from .gl import load_mujoco
from .object_shapes import Shape
from .scene_xml import Draft, add_floors, add_lights, add_object, add_walls, numbers

Rng = np.random.Generator
_TEMPLATE = """<mujoco><compiler angle="degree" inertiafromgeom="true" balanceinertia="true"/>
<statistic extent="10" center="0 0 1"/>
<visual><global offwidth="{width}" offheight="{height}"/><map znear="0.008" zfar="9"/>
<quality shadowsize="{shadow}" offsamples="4"/>
<headlight ambient="{ambient}" diffuse="{diffuse}" specular="0 0 0"/></visual>
<asset>{assets}</asset><worldbody>{world}
<camera name="robot" pos="0 0 1" fovy="{fovy:.2f}"/></worldbody></mujoco>"""


@dataclass
class Placed:
    """A movable object: where it is, what it is made of."""

    thing: int
    body: int
    name: str
    shape: Shape
    painted: list[tuple[int, float]]
    x: float = 0.0
    y: float = 0.0
    shown: bool = False


@dataclass
class Scene:
    """A compiled scene. ``geom_thing`` (ngeom,) indexes ``things``; -1 is an unlabelled geom."""

    model: Any  # mujoco.MjModel
    data: Any  # mujoco.MjData
    half: tuple[float, float]
    indoor: bool
    walls: list[str]
    things: list[Thing]
    geom_thing: np.ndarray
    objects: list[Placed]

    def class_of_things(self) -> np.ndarray:
        """(number of things,) uint8: class id of each."""
        return np.array([thing.class_id for thing in self.things], np.uint8)


def build_scene(seed: int, width: int = 256, height: int = 192, objects: int = 14) -> Scene:
    """Build the scene of ``seed``; its objects are still hidden (see ``layout``) and unpainted.

    Args:
        seed: two calls with the same seed give the same scene.
        width, height: largest image, in pixels, that will be rendered of it.
        objects: how many objects it holds, all classes about equally often.

    Raises:
        RendererUnavailable: MuJoCo or a GL library is missing.
    """
    rng = np.random.default_rng([seed, 1])
    draft = Draft(rng)
    indoor = bool(rng.random() < 0.55)
    x, y = rng.uniform(2.6, 5.5, 2)
    half = (float(x), float(y))
    add_floors(draft, half, indoor)
    walls = add_walls(draft, half, indoor)
    add_lights(draft, half, indoor)
    names = [OBJECTS[i] for i in rng.permutation(np.resize(rng.permutation(len(OBJECTS)), objects))]
    return complete_scene(draft, half, indoor, walls, names, (width, height))


def complete_scene(
    draft: Draft,
    half: tuple[float, float],
    indoor: bool,
    walls: list[str],
    names: Sequence[str],
    size: tuple[int, int],
    fovy: float | None = None,
) -> Scene:
    """Add objects and a camera to floors, walls and lights, and compile it all.

    Args:
        draft: floors, walls and lights.
        half: half of the floor's sides in metres, (x, y).
        indoor: whether there is a ceiling.
        walls: the sides that have one.
        names: classes of the objects; they are still hidden.
        size: width and height of the largest image, in pixels, that will be rendered of it.
        fovy: vertical field of view in degrees; None: a random one.
    """
    mujoco, rng = load_mujoco(), draft.rng
    added = [add_object(draft, index, name) for index, name in enumerate(names)]
    ambient, diffuse = rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.35)
    xml = _TEMPLATE.format(
        width=size[0],
        height=size[1],
        shadow=1024,
        assets="".join(draft.assets),
        world="".join(draft.world),
        fovy=rng.uniform(42, 60) if fovy is None else fovy,
        ambient=numbers([ambient] * 3),
        diffuse=numbers([diffuse] * 3),
    )
    model = mujoco.MjModel.from_xml_string(xml, draft.files)
    owner = [draft.owner.get(model.geom(i).name, -1) for i in range(model.ngeom)]
    placed = [
        Placed(
            draft.owner[f"{body}_0"],
            model.body(body).id,
            name,
            shape,
            [(model.geom(geom).id, tone) for geom, tone in painted],
        )
        for name, (body, shape, painted) in zip(names, added, strict=True)
    ]
    return Scene(
        model, mujoco.MjData(model), half, indoor, walls, draft.things, np.array(owner), placed
    )


def repaint(scene: Scene, rng: Rng, held_out: float = 0.0) -> None:
    """Give every object a new colour.

    Args:
        held_out: probability of a colour in which training never shows the object.
    """
    for item in scene.objects:
        if item.name not in COLOURED:
            continue
        colour, rgb = paint(rng, item.name)
        pairs = [name for name in COLOUR_NAMES if is_held_out(name, item.name)]
        if pairs and rng.random() < held_out:
            colour = pairs[rng.integers(len(pairs))]
            rgb = np.clip(np.array(COLOURS[colour]) * rng.uniform(0.85, 1.1), 0, 1)
        scene.things[item.thing].colour = colour
        for geom, tone in item.painted:
            scene.model.geom_rgba[geom, :3] = rgb * tone
