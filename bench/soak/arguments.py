# SPDX-License-Identifier: Apache-2.0
"""The command line of the soak's own processes, the caller and the cameras."""

from __future__ import annotations

import argparse


def parse_arguments(description: str | None) -> argparse.Namespace:
    """The options `seed` and `quick` of this process, with which `python3 -m soak` starts it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="leave out what takes long")
    return parser.parse_args()
