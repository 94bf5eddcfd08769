# SPDX-License-Identifier: Apache-2.0
"""The held-out frames as files: pictures, labels and an index, readable without a renderer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .classes import CLASSES

INDEX = "index.json"


@dataclass
class LabelledFrame:
    """A stored frame.

    Attributes:
        name: stem of its files.
        rgb: (H, W, 3) uint8.
        labels: (H, W) uint8 class ids, 255 for none.
        instances: (H, W) uint8 indices into ``things``, 255 for none.
        things: {index: (class name, colour name or None)} of what is visible.
        scene: seed of the scene.
    """

    name: str
    rgb: np.ndarray
    labels: np.ndarray
    instances: np.ndarray
    things: dict[int, tuple[str, str | None]]
    scene: int


def write_frames(
    folder: Path, frames: Iterable[LabelledFrame], note: str, quality: int = 95
) -> int:
    """Write frames (JPEG pictures, PNG instances) and their index; returns how many.

    Labels are not stored twice: they are the class of each pixel's thing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for frame in frames:
        Image.fromarray(frame.rgb).save(
            folder / f"{frame.name}.jpg", quality=quality, subsampling=0
        )
        Image.fromarray(frame.instances).save(folder / f"{frame.name}.png", optimize=True)
        entries.append(
            {
                "name": frame.name,
                "scene": frame.scene,
                "things": {str(key): list(value) for key, value in frame.things.items()},
            }
        )
    index = {"note": note, "classes": list(CLASSES), "frames": entries}
    (folder / INDEX).write_text(json.dumps(index, indent=None, separators=(",", ":")) + "\n")
    return len(entries)


def read_frames(folder: Path | str) -> Iterator[LabelledFrame]:
    """Read frames in the order of their index.

    Raises:
        FileNotFoundError: there is no index in ``folder``, or one of its files is missing.
    """
    folder = Path(folder)
    index = json.loads((folder / INDEX).read_text())
    ids = {name: number for number, name in enumerate(index["classes"])}
    for entry in index["frames"]:
        rgb = np.asarray(Image.open(folder / f"{entry['name']}.jpg").convert("RGB"))
        instances = np.asarray(Image.open(folder / f"{entry['name']}.png"))
        things = {int(key): (value[0], value[1]) for key, value in entry["things"].items()}
        classes = np.full(256, 255, np.uint8)
        for key, (name, _) in things.items():
            classes[key] = ids[name]
        yield LabelledFrame(
            entry["name"], rgb, classes[instances], instances, things, entry["scene"]
        )
