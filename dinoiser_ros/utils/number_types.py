# SPDX-License-Identifier: Apache-2.0
"""Numbers of command lines: types for argparse that say, when they refuse, what is allowed.

`int` and `float` as types let every range through, "nan" and "inf" too, and refuse a text only as
an "invalid int value". A type of this module ends the command with its usage and a sentence:
`argument --workers: '0' is not a whole number from 1 on`.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

_WHOLE = re.compile(r"-?\d+")  # `int` takes "1_000" and " 7 ", too


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for whole numbers.

    Args:
        least, most: the inclusive range; `most` is None where every number from `least` on is fine.

    Returns:
        What makes a number of a text; it raises `argparse.ArgumentTypeError` for any other text.
    """

    def parse(text: str) -> int:
        try:
            value = int(text if _WHOLE.fullmatch(text) else "")
        except ValueError:
            raise _refusal(text, "a whole number", least, most) from None
        if value < least or (most is not None and value > most):
            raise _refusal(text, "a whole number", least, most)
        return value

    return parse


def finite_number(
    least: float, most: float | None = None, unit: str = ""
) -> Callable[[str], float]:
    """A type for finite numbers.

    Args:
        least, most: the inclusive range; `most` is None where every number from `least` on is fine.
        unit: what the number counts, for the sentence: "seconds".

    Returns:
        What makes a number of a text; it raises `argparse.ArgumentTypeError` for any other text.
    """
    kind = f"a number of {unit}" if unit else "a number"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise _refusal(text, kind, least, most) from None
        if not math.isfinite(value) or value < least or (most is not None and value > most):
            raise _refusal(text, kind, least, most)
        return value

    return parse


positive = whole_number(1)  # a whole number from 1 on
count = whole_number(0)  # a whole number from 0 on
not_negative = finite_number(0)  # a number from 0 on
share = finite_number(0, 1)  # a number from 0 to 1


def _refusal(text: str, kind: str, least: float, most: float | None) -> argparse.ArgumentTypeError:
    limits = f"from {least} on" if most is None else f"from {least} to {most}"
    return argparse.ArgumentTypeError(f"{text!r} is not {kind} {limits}")
