# SPDX-License-Identifier: Apache-2.0
"""Rendered training frames on disk: memory-mapped arrays, written by several processes at once."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinoiser_ros.sim.camera import SceneCamera
from dinoiser_ros.sim.classes import COLOUR_NAMES, UNLABELLED
from dinoiser_ros.sim.colouring import Thing
from dinoiser_ros.sim.placement import snapshot
from dinoiser_ros.sim.scene import build_scene, repaint

WIDTH, HEIGHT = 256, 192
MAX_THINGS = 40
NO_COLOUR = 255


@dataclass(frozen=True)
class Split:
    """A set of frames: ``scenes`` scenes from ``first_seed`` on, ``views`` frames of each."""

    name: str
    first_seed: int
    scenes: int
    views: int
    held_out: float = 0.0

    @property
    def frames(self) -> int:
        """How many frames the split has."""
        return self.scenes * self.views


@dataclass
class FrameStore:
    """Frames of one split.

    Attributes:
        rgb: (N, H, W, 3) uint8.
        instances: (N, H, W) uint8, indices into the next two; 255 where nothing has a class.
        classes: (N, MAX_THINGS) uint8 class ids, 255 for none.
        colours: (N, MAX_THINGS) uint8 indices into COLOUR_NAMES, 255 for none.
    """

    rgb: np.ndarray
    instances: np.ndarray
    classes: np.ndarray
    colours: np.ndarray

    def labels(self, index: int) -> np.ndarray:
        """(H, W) uint8 class ids of one frame. For evaluation; no loss sees them."""
        table = np.full(256, UNLABELLED, np.uint8)
        table[:MAX_THINGS] = self.classes[index]
        labels: np.ndarray = table[self.instances[index]]
        return labels


def _shapes(split: Split) -> dict[str, tuple[int, ...]]:
    n = split.frames
    return {
        "rgb": (n, HEIGHT, WIDTH, 3),
        "instances": (n, HEIGHT, WIDTH),
        "classes": (n, MAX_THINGS),
        "colours": (n, MAX_THINGS),
    }


def thing_tables(things: list[Thing]) -> tuple[np.ndarray, np.ndarray]:
    """Class ids and colour indices of a frame's things, both (MAX_THINGS,) uint8."""
    classes = np.full(MAX_THINGS, UNLABELLED, np.uint8)
    colours = np.full(MAX_THINGS, NO_COLOUR, np.uint8)
    for index, thing in enumerate(things):
        classes[index] = thing.class_id
        if thing.colour is not None:
            colours[index] = COLOUR_NAMES.index(thing.colour)
    return classes, colours


def _render_scene(split: Split, store: FrameStore, number: int) -> None:
    """Render all views of one scene into the store; each view has a new layout and new paint."""
    seed = split.first_seed + number
    scene = build_scene(seed, WIDTH, HEIGHT)
    rng = np.random.default_rng([seed, 2])
    with SceneCamera(scene, WIDTH, HEIGHT) as camera:
        for view in range(split.views):
            repaint(scene, rng, split.held_out)
            snapshot(scene, rng)
            frame = camera.render(depth=False)
            index = number * split.views + view
            store.rgb[index], store.instances[index] = frame.rgb, frame.instances
            store.classes[index], store.colours[index] = thing_tables(frame.things)


def _render_part(split: Split, folder: str, worker: int, workers: int) -> None:
    store = FrameStore(
        **{name: np.load(f"{folder}/{name}.npy", mmap_mode="r+") for name in _shapes(split)}
    )
    for number in range(worker, split.scenes, workers):
        _render_scene(split, store, number)


def render_split(split: Split, folder: Path, workers: int = 2) -> None:
    """Render a split into ``folder`` unless it is already there, complete.

    Raises:
        RendererUnavailable: MuJoCo or a GL library is missing.
        RuntimeError: a rendering process ended early.
    """
    done = folder / "done.json"
    wanted = {
        key: getattr(split, key) for key in ("name", "first_seed", "scenes", "views", "held_out")
    }
    if done.exists() and json.loads(done.read_text()) == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in _shapes(split).items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape)
    build_scene(split.first_seed)  # reports a missing renderer here rather than from a worker
    context = multiprocessing.get_context("spawn")
    parts = [
        context.Process(target=_render_part, args=(split, str(folder), k, workers))
        for k in range(workers)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    if any(part.exitcode for part in parts):
        raise RuntimeError(f"rendering the {split.name} frames failed; see the messages above")
    done.write_text(json.dumps(wanted))


def open_split(split: Split, folder: Path) -> FrameStore:
    """Open a rendered split, read-only and memory-mapped."""
    return FrameStore(
        **{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _shapes(split)}
    )
