# SPDX-License-Identifier: Apache-2.0
"""The authors' code beside this one, without having it: by way of the bare blocks.

The authors' released code cannot be had on every machine. What can is the part of it that takes
nearly all of the time: the transformer blocks of open_clip's own module in float32. The factor from
those to the authors' whole frame was measured once, both on one machine; it says how much of their
time is elsewhere, which depends little on the processor. So their time here is about the bare
blocks, measured here, times the factor.
"""

from __future__ import annotations

from collections.abc import Mapping

from .timing import Times

# Authors' frame over bare float32 blocks, on 2 cores: 1.00 s over 0.96 s, 1.75 s over 1.92 s. At
# other sizes the two were never measured together.
FACTORS = {"448x448": 1.00 / 0.96, "480x640": 1.75 / 1.92}
BLOCKS = "blocks fp32"
COMPARED = ("fp32", "float32", "best", "blocks best")


def authors_ratios(whole: Mapping[str, Mapping[str, Times]]) -> dict[str, dict[str, float]]:
    """How long each variant takes, the authors' code being 1.

    Args:
        whole: by size, by variant, `BLOCKS` among them.

    Returns:
        By size, by variant; sizes without a factor are left out.
    """
    return {
        size: {
            name: times[name].median / (FACTORS[size] * times[BLOCKS].median)
            for name in COMPARED
            if name in times
        }
        for size, times in whole.items()
        if size in FACTORS and BLOCKS in times
    }


def floor_ratios(whole: Mapping[str, Mapping[str, Times]]) -> dict[str, float]:
    """By size: the best frame over the bare blocks of its own precision."""
    return {
        size: times["best"].median / times["blocks best"].median
        for size, times in whole.items()
        if "best" in times and "blocks best" in times
    }


def described(whole: Mapping[str, Mapping[str, Times]]) -> str:
    """Both as lines of text."""
    authors, lines = authors_ratios(whole), []
    for size, floor in floor_ratios(whole).items():
        found = authors.get(size)
        told = (
            ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            if found
            else "no factor is known for this size"
        )
        lines.append(f"{size}: authors' code = 1: {told}; best over its bare blocks: {floor:.2f}")
    return "\n".join(lines)
