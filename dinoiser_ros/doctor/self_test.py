# SPDX-License-Identifier: Apache-2.0
"""The embedded model on a picture that is made here, against what it has to say of it."""

from __future__ import annotations

import time

import numpy as np

from dinoiser_ros.segmentation import DinoiserError, Segmenter
from dinoiser_ros.utils.sentences import first_line

from .findings import FAULT, Finding

PROMPTS = ("grass", "sky", "wall", "person")
# Share of each prompt in the picture, as float32 and bfloat16 on a CPU say.
EXPECTED = (0.393, 0.521, 0.086, 0.0)
TOLERANCE = 0.02


def picture() -> np.ndarray:
    """(192, 256, 3) uint8: blue above, green below, and a grey block."""
    y, x = np.mgrid[:192, :256]
    rgb = np.empty((192, 256, 3), np.uint8)
    rgb[:] = (110, 130, 200)
    ground = y > 110
    rgb[ground] = np.stack([40 + y % 7 * 3, 120 + x % 5 * 6, 30 + y % 3 * 5], -1)[ground]
    rgb[60:130, 150:220] = 170
    return rgb


def shares(segmenter: Segmenter) -> list[float]:
    """The share of each prompt in the picture, in [0, 1]."""
    labels = segmenter.segment(picture()).labels
    return [float((labels == number).mean()) for number in range(len(PROMPTS))]


def self_test() -> list[Finding]:
    """Load the model as the node does, segment, compare."""
    start = time.monotonic()
    try:
        segmenter = Segmenter("demo", offline=True)
        segmenter.set_prompts(list(PROMPTS))
        loaded = time.monotonic()
        found = shares(segmenter)
        first = time.monotonic()
        shares(segmenter)
        again = time.monotonic() - first
    except (DinoiserError, RuntimeError, OSError) as error:
        reason = f"{type(error).__name__}: {first_line(error, 500)}"
        return [Finding("the embedded model", reason, FAULT, "attach this report to an issue")]
    where = f"{segmenter.device}, {segmenter.precision}"
    times = f"loaded in {loaded - start:.1f} s; a frame takes {1e3 * again:.0f} ms ({where})"
    return [Finding("the embedded model", times), compare(found)]


def compare(found: list[float]) -> Finding:
    """Whether the shares are as expected."""
    text = ", ".join(
        f"{name} {100 * share:.1f} % ({100 * expected:.1f})"
        for name, share, expected in zip(PROMPTS, found, EXPECTED, strict=True)
    )
    name = "found (expected)"
    if max(abs(a - b) for a, b in zip(found, EXPECTED, strict=True)) > TOLERANCE:
        return Finding(name, text, FAULT, "the results of this machine are wrong: please report")
    return Finding(name, text)
