# SPDX-License-Identifier: Apache-2.0
"""YOLO segmentation: a text file of polygons for each picture, and data.yaml.

https://docs.ultralytics.com/datasets/segment/. A polygon has no holes: what is enclosed by a class
belongs to it here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .sample import Provenance, Sample, regions

_LEAST = 3  # corners of a polygon


def write(folder: Path, samples: Iterable[Sample], provenance: Provenance) -> None:
    """Write images/train/, labels/train/ and data.yaml."""
    for sample in samples:
        sample.put_picture(folder / "images" / "train")
        place = folder / "labels" / "train" / f"{sample.name}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = _lines(sample.labels(), len(provenance.classes))
        place.write_text("".join(lines), encoding="ascii")
    names = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(provenance.classes))
    text = f"path: .\ntrain: images/train\nval: images/train\nnames:\n{names}"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _lines(labels: np.ndarray, classes: int) -> Iterator[str]:
    """A line for each connected region: class id, then x and y of its corners from 0 to 1."""
    import cv2

    height, width = labels.shape
    for region in regions(labels, classes):
        found, _ = cv2.findContours(
            region.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        for contour in found:
            if len(contour) >= _LEAST:
                corners = (contour[:, 0] + 0.5) / (width, height)  # the middles of pixels
                numbers = " ".join(f"{value:.6g}" for value in corners.ravel())
                yield f"{region.category} {numbers}\n"
