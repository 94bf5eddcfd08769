# SPDX-License-Identifier: Apache-2.0
"""The simulated camera: a scene becomes an image with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .classes import UNLABELLED
from .colouring import SKY_THING, Thing
from .gl import RendererUnavailable, load_mujoco
from .scene import Scene


@dataclass
class RenderedFrame:
    """What the camera sees.

    Attributes:
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8 class ids of ``sim.classes.CLASSES``, 255 where there is none (a
            ceiling).
        depth: (H, W) float32, metres along the optical axis; infinite in the sky. None if not asked
            for.
        instances: (H, W) uint8 indices into ``things``, 255 where there is none.
        things: class and colour of everything in the scene.
        fovy: vertical field of view in degrees (pinhole, square pixels, centre of the image).
    """

    rgb: np.ndarray
    labels: np.ndarray
    depth: np.ndarray | None
    instances: np.ndarray
    things: list[Thing]
    fovy: float


class SceneCamera:
    """Renders one scene; close it (or use it in a ``with``) to give the GL context back."""

    def __init__(self, scene: Scene, width: int = 256, height: int = 192) -> None:
        """Create the GL context. Raises RendererUnavailable if that fails."""
        self._mujoco = load_mujoco()
        self._scene = scene
        try:
            self._renderer = self._mujoco.Renderer(scene.model, height, width)
        except Exception as error:  # MuJoCo's backends raise whatever their bindings raise
            raise RendererUnavailable(f"no GL context could be created: {error}") from error

    def __enter__(self) -> SceneCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the GL context."""
        self._renderer.close()

    def render(self, depth: bool = True) -> RenderedFrame:
        """Render the scene as it stands now, from its camera ``robot``."""
        scene, renderer = self._scene, self._renderer
        self._mujoco.mj_kinematics(scene.model, scene.data)
        self._mujoco.mj_camlight(scene.model, scene.data)
        renderer.update_scene(scene.data, "robot")
        rgb = renderer.render().copy()
        renderer.enable_segmentation_rendering()
        geoms = renderer.render()[..., 0]
        renderer.disable_segmentation_rendering()
        instances = self._instances(geoms)
        classes = np.full(256, UNLABELLED, np.uint8)
        classes[: len(scene.things)] = scene.class_of_things()
        distance = self._depth(geoms) if depth else None
        things = [Thing(thing.class_id, thing.colour) for thing in scene.things]
        return RenderedFrame(
            rgb, classes[instances], distance, instances, things, float(scene.model.cam_fovy[0])
        )

    def _instances(self, geoms: np.ndarray) -> np.ndarray:
        """Geom ids (H, W), -1 in the sky, to indices of things, 255 for none."""
        owner = np.append(self._scene.geom_thing, SKY_THING)  # -1 reads the last one
        instances: np.ndarray = np.where(owner < 0, UNLABELLED, owner).astype(np.uint8)[geoms]
        return instances

    def _depth(self, geoms: np.ndarray) -> np.ndarray:
        self._renderer.enable_depth_rendering()
        depth: np.ndarray = self._renderer.render().astype(np.float32)
        self._renderer.disable_depth_rendering()
        depth[geoms < 0] = np.inf
        return depth
