# SPDX-License-Identifier: Apache-2.0
"""The simulated world as a benchmark: the stored held-out frames, with and without background."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dinoiser_ros.errors import EvaluationError
from dinoiser_ros.sim.classes import CLASSES, HELD_OUT_PAIRS, is_held_out
from dinoiser_ros.sim.frames import INDEX, LabelledFrame, read_frames

from .foreground import FOREGROUND_CLASSES, foreground_labels
from .samples import Loaded, Sample

FOLDER = Path("data/heldout")  # from the repository's root
HELD_OUT_PART, SEEN_PART = "held-out pairs", "seen pairs"
_PAIRED = {name for _, name in HELD_OUT_PAIRS}


def pair_parts(frame: LabelledFrame) -> dict[str, np.ndarray]:
    """Pixels of objects whose class has a held-out colour: those in that colour, and the others.

    Returns:
        (H, W) bool by `HELD_OUT_PART` and `SEEN_PART`; objects without a colour are in neither.
    """
    parts = {part: np.zeros(frame.labels.shape, bool) for part in (HELD_OUT_PART, SEEN_PART)}
    for index, (name, colour) in frame.things.items():
        if name in _PAIRED and colour is not None:
            part = HELD_OUT_PART if is_held_out(colour, name) else SEEN_PART
            parts[part] |= frame.instances == index
    return parts


@dataclass(frozen=True)
class SimulatedWorld:
    """One way to ask for the classes of the held-out frames.

    Attributes:
        name, title, classes: see `Benchmark`.
        relabel: (H, W) ids of the simulated world -> ids of `classes`.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    relabel: Callable[[np.ndarray], np.ndarray]

    def loaded(self, frame: LabelledFrame) -> Loaded:
        """A frame as this benchmark counts it."""
        return Loaded(frame.rgb, self.relabel(frame.labels), pair_parts(frame))

    def samples(self, folder: Path) -> list[Sample]:
        """The frames of a folder, which are small enough to be held together.

        Raises:
            EvaluationError: the folder has no index of frames, or one of its files is missing.
        """
        try:
            frames = list(read_frames(folder))
        except FileNotFoundError as error:
            raise EvaluationError(
                f"{error.filename} does not exist: give the folder that holds {INDEX} of the "
                f"held-out frames ({FOLDER} in this repository)."
            ) from error
        return [Sample(frame.name, functools.partial(self.loaded, frame)) for frame in frames]


def _unchanged(labels: np.ndarray) -> np.ndarray:
    return labels


WORLD = SimulatedWorld("sim", "Sim", CLASSES, _unchanged)
FOREGROUND = SimulatedWorld(
    "sim-background", "Sim, background", FOREGROUND_CLASSES, foreground_labels
)
