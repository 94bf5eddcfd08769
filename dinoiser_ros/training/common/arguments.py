# SPDX-License-Identifier: Apache-2.0
"""Types of command line options that the training commands share, for argparse."""

from __future__ import annotations

import argparse
import math

from .run_state import SAVE_EVERY


def positive(text: str) -> int:
    """A whole number from 1 on."""
    return int(_checked(int(text), 1))


def count(text: str) -> int:
    """A whole number from 0 on."""
    return int(_checked(int(text), 0))


def number(text: str) -> float:
    """A number from 0 on."""
    return _checked(float(text), 0)


def share(text: str) -> float:
    """A number from 0 to 1."""
    return _checked(float(text), 0, 1)


def add_view_arguments(
    group: argparse._ArgumentGroup, flip: float, brightness: float, seed: int
) -> None:
    """Which pictures are taken, and how they are varied; the values are defaults."""
    group.add_argument("--flip", type=share, default=flip, metavar="0..1")
    group.add_argument("--brightness", type=share, default=brightness, metavar="0..1")
    group.add_argument("--max-pictures", type=positive, help="use this many, chosen at random")
    group.add_argument("--seed", type=int, default=seed)


def add_run_arguments(group: argparse._ArgumentGroup, workers: int) -> None:
    """Who reads pictures, by default so many processes, and how often a run is kept."""
    group.add_argument("--workers", type=count, default=workers)
    group.add_argument("--save-every", type=number, default=SAVE_EVERY, metavar="SECONDS")


def _checked(value: float, least: float, most: float = math.inf) -> float:
    if not least <= value <= most:  # also if it is not a number at all
        limits = f"from {least} on" if most == math.inf else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{value} is not a number {limits}")
    return value
