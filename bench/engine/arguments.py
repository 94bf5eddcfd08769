# SPDX-License-Identifier: Apache-2.0
"""What `make bench` can be told."""

from __future__ import annotations

import argparse

FEW = 5
SIZES = ((448, 448), (480, 640), (720, 1280))


def parser(description: str) -> argparse.ArgumentParser:
    """The options, with their defaults."""
    made = argparse.ArgumentParser(prog="make bench", description=description)
    made.add_argument("--model", default="vit-b-16", help="a name or a config (%(default)s)")
    made.add_argument("--rounds", type=int, default=0, help="at most; 0: 9 on a CPU, 300 on a GPU")
    made.add_argument("--start-rounds", type=int, default=3, help="processes started; 0: none")
    made.add_argument("--sizes", type=_size, nargs="+", default=SIZES, metavar="HxW")
    made.add_argument("--prompts", type=int, nargs="+", default=[FEW, 50, 150])
    made.add_argument("--device", default="auto")
    made.add_argument("--precision", default="auto", help="of the best path (%(default)s)")
    made.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    made.add_argument("--output", default="bench_output", help="folder (%(default)s)")
    made.add_argument(
        "--json",
        default="",
        help="a result to keep: a file that does not exist is written; with one that does, and no "
        "--compare, the new result is compared, and the file stays as it is",
    )
    made.add_argument("--compare", default="", help="a former result to compare with")
    return made


def detailed_size(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The size that single stages, prompts and so on are measured at: the second."""
    return sizes[min(1, len(sizes) - 1)]


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)
