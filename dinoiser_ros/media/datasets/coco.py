# SPDX-License-Identifier: Apache-2.0
"""COCO: panoptic segmentation, and one mask for each class as run lengths (as in COCO-Stuff).

https://cocodataset.org/#format-data. A class is one region in a picture ("stuff"): which of
its pixels belong to which object is not known. Category ids are class ids plus 1, since 0 means
nothing in COCO.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from .sample import Provenance, Region, Sample, regions


def write_panoptic(folder: Path, samples: Iterable[Sample], provenance: Provenance) -> None:
    """Write images/, panoptic/ (PNG of segment ids) and annotations/panoptic.json."""
    images, annotations = [], []
    for number, sample in enumerate(samples, 1):
        labels = sample.labels()
        images.append(_image(folder, number, sample, labels))
        found = list(regions(labels, len(provenance.classes)))
        ids = np.zeros((*labels.shape, 3), np.uint8)  # an id is R + 256 G + 65536 B
        for region in found:
            ids[region.mask] = [(region.category + 1) >> shift & 255 for shift in (0, 8, 16)]
        place = folder / "panoptic" / f"{sample.name}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids).save(place)
        segments = [{"id": r.category + 1, **_described(r)} for r in found]
        annotations.append(
            {"image_id": number, "file_name": f"{sample.name}.png", "segments_info": segments}
        )
    _write(folder / "annotations" / "panoptic.json", images, annotations, provenance)


def write_rle(folder: Path, samples: Iterable[Sample], provenance: Provenance) -> None:
    """Write images/ and annotations/instances.json with a run-length mask for each class."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, sample in enumerate(samples, 1):
        labels = sample.labels()
        images.append(_image(folder, number, sample, labels))
        for region in regions(labels, len(provenance.classes)):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    **_described(region),
                    "segmentation": run_lengths(region.mask),
                }
            )
    _write(folder / "annotations" / "instances.json", images, annotations, provenance)


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """COCO's uncompressed run lengths, column by column, those of 0 and of 1 in turn.

    Args:
        mask: (H, W) bool.
    """
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    # What ends with 1 has an empty run of 0 at its end, which COCO does not write.
    return {"size": list(mask.shape), "counts": counts[:-1] if not counts[-1] else counts}


def _described(region: Region) -> dict[str, object]:
    return {
        "category_id": region.category + 1,
        "area": region.area,
        "bbox": list(region.box),
        "iscrowd": 0,
    }


def _image(folder: Path, number: int, sample: Sample, labels: np.ndarray) -> dict[str, object]:
    height, width = labels.shape
    name = sample.put_picture(folder / "images")
    return {"id": number, "file_name": name, "height": height, "width": width}


def _write(
    path: Path,
    images: list[dict[str, object]],
    annotations: list[dict[str, object]],
    provenance: Provenance,
) -> None:
    categories = [
        {"id": number, "name": name, "supercategory": "stuff", "isthing": 0}
        for number, name in enumerate(provenance.classes, 1)
    ]
    content = {
        "info": {"description": "labels by dinoiser_ros, not by people", **provenance.record},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
