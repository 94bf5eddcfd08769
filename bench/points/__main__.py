# SPDX-License-Identifier: Apache-2.0
"""Cost and accuracy of the clouds, on frames of the simulator: `make bench-points`.

A point that is marked with a class is false if it is farther than 5 cm from all true points of
that class, as the simulator renders them. Masks are the true ones; the true ones made as coarse as
a network's; and, with --model, those of a model. The rows with border_erosion 0 show what comes of
masks that are projected as they are.

The cost is the processor time from a depth message to the messages of ~/points and of three groups
of fourteen classes, in one thread. That of publishing them is in the node's /diagnostics.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.sim.camera import RenderedFrame
from dinoiser_ros.sim.classes import OBJECT_IDS
from dinoiser_ros.sim.drive import SimulatedRobot

from .accuracy import phantoms
from .cost import median_ms
from .masks import dilated, in_patches, segmenter_of
from .picture import write_picture

SIZE = (640, 480)
SEED = 7000  # of scenes that no model was trained on
_FRAMES_PER_SCENE = 4
_MAX_COST_MS = 10.0
_MAX_FALSE = 0.005


def main() -> int:
    """Measure and print; returns 0 if cost and accuracy are within their limits, else 1."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    # Before anything is rendered: torch and Mesa bring an LLVM each, and crash in the other order.
    segment = segmenter_of(options.model) if options.model else None
    frames = rendered(options.frames)
    kinds: dict[str, Callable[[RenderedFrame], np.ndarray]] = {
        "true": lambda frame: frame.labels,
        "dilated by 3": lambda frame: dilated(frame.labels, OBJECT_IDS, 3),
        "patches of 8": lambda frame: in_patches(frame.labels, 8),
        "patches of 16": lambda frame: in_patches(frame.labels, 16),
    }
    if segment is not None:
        kinds[options.model] = lambda frame: segment(frame.rgb)[0]
    radius, edge = BY_NAME["border_erosion"].default, BY_NAME["depth_edge"].default
    worst = 0.0
    for name, masks in kinds.items():
        kept = {id(frame): masks(frame) for frame in frames}
        for erosion in (0, radius):
            found = phantoms(frames, lambda frame, kept=kept: kept[id(frame)], erosion, edge)
            print(f"  masks {name:14} border_erosion {erosion}: {found}", flush=True)
        if name != options.model:  # its mistakes are not all at borders
            worst = max(worst, found.false / max(found.points, 1))
    masks = [in_patches(frame.labels, 16) for frame in frames]
    if options.picture:
        false = [
            phantoms([frame], lambda _, mask=mask: mask, 0, edge).false
            for frame, mask in zip(frames, masks, strict=True)
        ]
        number = int(np.argmax(false))  # the frame whose mask reaches over most
        write_picture(options.picture, frames[number], masks[number], radius, edge)
    costs = {step: median_ms(frames, masks, points_decimation=step) for step in (1, 2, 4)}
    for step, cost in costs.items():
        print(f"  points_decimation {step}: {cost:.1f} ms for points and three groups", flush=True)
    cost = costs[BY_NAME["points_decimation"].default]
    print(f"bench-points: cost_ms={cost:.1f} false_percent={100 * worst:.3f}", flush=True)
    return 0 if cost <= _MAX_COST_MS and worst < _MAX_FALSE else 1


def rendered(count: int) -> list[RenderedFrame]:
    """Frames of drives through rooms."""
    frames: list[RenderedFrame] = []
    for seed in itertools.count(SEED):
        with SimulatedRobot(seed, *SIZE, rate=0.5) as robot:
            for frame in itertools.islice(robot.frames(), _FRAMES_PER_SCENE):
                frames.append(frame)
                if len(frames) == count:
                    return frames
    return frames


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="points", description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24, help="how many frames are rendered")
    parser.add_argument("--model", default="demo", help="model whose masks are used; '' for none")
    parser.add_argument("--picture", type=Path, help="PNG file to draw one frame into")
    return parser


if __name__ == "__main__":
    sys.exit(main())
