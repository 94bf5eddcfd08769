# SPDX-License-Identifier: Apache-2.0
"""The papers' mIoU in percent, quoted to be put beside what is measured here.

Sources: CLIP-DINOiser's paper (arXiv 2312.12359), which also compares with MaskCLIP on its five
benchmarks, and CLIPer's (arXiv 2411.13836). All are ViT-B/16 unless the row says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dinoiser_ros.evaluation.datasets.benchmarks import BENCHMARKS, PUBLIC
from dinoiser_ros.utils.markdown import table


@dataclass(frozen=True)
class Published:
    """A row of a paper: what it is called there, and mIoU in percent by benchmark."""

    title: str
    scores: Mapping[str, float]


def _ablation(title: str, *scores: float) -> Published:
    """A row over the five benchmarks of the ablation."""
    names = ("voc", "voc20", "context59", "coco-stuff", "ade20k")
    return Published(title, dict(zip(names, scores, strict=True)))


def _full(title: str, *scores: float) -> Published:
    """A row over all eight, in the order of CLIPer's table."""
    names = (
        *("voc", "context60", "coco-object", "voc20"),
        *("context59", "coco-stuff", "ade20k", "cityscapes"),
    )
    return Published(title, dict(zip(names, scores, strict=True)))


DINOISER = _full("CLIP-DINOiser", 62.1, 32.4, 34.8, 80.9, 35.9, 24.6, 20.0, 31.7)
PUBLISHED = (
    _ablation("MaskCLIP", 32.9, 61.8, 25.6, 17.6, 14.3),
    _ablation("MaskCLIP, key smoothing", 41.3, 71.9, 27.4, 18.6, 14.9),
    _ablation("pooling by DINO's A, no filter", 53.7, 79.1, 35.5, 24.7, 20.4),
    _ablation("pooling by the learnt A, no filter", 54.0, 80.9, 35.9, 24.6, 20.0),
    Published("DINO's A, FOUND's background", {"voc": 60.1, "coco-object": 32.1}),
    DINOISER,
    _full("CLIPer, no diffusion model", 60.7, 34.7, 36.3, 84.3, 38.4, 25.4, 19.8, 35.9),
    _full("CLIPer", 66.4, 37.5, 39.2, 85.5, 41.6, 27.6, 21.5, 37.0),
    Published("CLIPer, ViT-L/14", {"voc": 71.6, "cityscapes": 41.6}),
)


def published_table() -> str:
    """The papers' rows as Markdown, one column a benchmark."""
    header = ["method, as in the papers", *(BENCHMARKS[name].title for name in PUBLIC)]
    rows = [
        [row.title, *(f"{row.scores[name]:.1f}" if name in row.scores else "" for name in PUBLIC)]
        for row in PUBLISHED
    ]
    return table(header, rows)
