# SPDX-License-Identifier: Apache-2.0
"""Command line options that the training commands share."""

from __future__ import annotations

import argparse

from dinoiser_ros.utils.number_types import count, not_negative, positive, share

from .run_state import SAVE_EVERY


def add_view_arguments(
    group: argparse._ArgumentGroup, flip: float, brightness: float, seed: int
) -> None:
    """Which pictures are taken, and how they are varied; the values are defaults."""
    group.add_argument("--flip", type=share, default=flip, metavar="0..1")
    group.add_argument("--brightness", type=share, default=brightness, metavar="0..1")
    group.add_argument("--max-pictures", type=positive, help="use this many, chosen at random")
    group.add_argument("--seed", type=count, default=seed)


def add_run_arguments(group: argparse._ArgumentGroup, workers: int) -> None:
    """Who reads pictures, by default so many processes, and how often a run is kept."""
    group.add_argument("--workers", type=count, default=workers)
    group.add_argument("--save-every", type=not_negative, default=SAVE_EVERY, metavar="SECONDS")
