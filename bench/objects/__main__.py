# SPDX-License-Identifier: Apache-2.0
"""Objects and their numbers against the simulator's true instances: `make bench-objects`.

The drives are through rooms that no model was trained on, at 10 images a second; every third second
an object is hidden for a second. Masks are the true ones; the true ones made as coarse as a
network's of patches of 16 pixels; and, with --model, those of a model. Only objects with a number
count as found: so the first two images of each are missed. True objects smaller than
object_min_size are not asked for. Parameters have their defaults.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import cv2
import numpy as np
from points.masks import in_patches, segmenter_of

from .drives import drive
from .follower import Follower, default_limits
from .picture import Strip

HELD_OUT = ("patrol:401", "loop:401", "patrol:402", "loop:402")  # tried out on 301 and 302
_LEAST_IDF1 = 0.8


def main() -> int:
    """Measure and print; returns 0 if true masks give an IDF1 of at least 0.8, else 1."""
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    # Before anything is rendered: torch and Mesa bring an LLVM each, and crash in the other order.
    segment = segmenter_of(options.model) if options.model else None
    kinds = ["true", "patches", *([options.model] if segment else [])]
    followers = {
        (kind, depth): Follower(depth, default_limits())
        for kind in kinds
        for depth in (False, True)
    }
    strip = Strip(options.picture)
    for number, name in enumerate(options.drives):
        print(f"  drive {name}", file=sys.stderr, flush=True)
        way, _, seed = name.partition(":")
        for follower in followers.values():
            follower.begin()
        for frame in drive(way, int(seed), options.seconds):
            sure = np.ones(frame.labels.shape, np.float32)
            masks = {"true": (frame.labels, sure), "patches": (in_patches(frame.labels, 16), sure)}
            if segment is not None:
                masks[options.model] = segment(frame.rgb)
            for (kind, depth), follower in followers.items():
                found = follower.image(number, frame, *masks[kind])
                if (kind, depth) == ("true", True):
                    strip.look(frame, found)
        for follower in followers.values():
            follower.end()
    strip.close()
    for (kind, depth), follower in followers.items():
        print(f"  masks {kind:8} {'with depth' if depth else 'no depth  '} {follower.scores}")
    idf1 = {key: follower.scores.idf1 for key, follower in followers.items()}
    costs = [statistics.median(followers["true", depth].costs) for depth in (False, True)]
    print(
        "bench-objects: "
        + " ".join(
            f"idf1_{kind}{'_depth' if depth else ''}={value:.3f}"
            for (kind, depth), value in idf1.items()
        )
        + f" cost_ms={costs[0]:.1f} cost_depth_ms={costs[1]:.1f}",
        flush=True,
    )
    return 0 if min(idf1["true", False], idf1["true", True]) >= _LEAST_IDF1 else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="objects", description=__doc__.splitlines()[0])
    parser.add_argument("--drives", nargs="+", default=HELD_OUT, help="patrol:SEED or loop:SEED")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each drive")
    parser.add_argument("--model", default="demo", help="model whose masks are used; '' for none")
    parser.add_argument("--picture", type=Path, help="PNG file to draw a hidden object into")
    return parser


if __name__ == "__main__":
    sys.exit(main())
