"""Types of command line options that the training commands share, for argparse."""

from __future__ import annotations

import argparse
import math


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


def _checked(value: float, least: float, most: float = math.inf) -> float:
    if not least <= value <= most:  # also if it is not a number at all
        limits = f"from {least} on" if most == math.inf else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{value} is not a number {limits}")
    return value
