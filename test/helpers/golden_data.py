# SPDX-License-Identifier: Apache-2.0
"""Where the golden data are, and what they were made with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import GOLDEN

GOLDEN_MODEL = {
    "model": GOLDEN / "golden-small.json",
    "weights": GOLDEN / "clip.safetensors",
    "heads": GOLDEN / "heads.safetensors",
}
# open_clip 2.24 is the newest release with sequence-first transformers; `make` puts it there.
OLD_OPEN_CLIP = Path(sys.prefix) / "open_clip-2.24"
GOLDEN_PROMPTS = ["background", "wooden floor", "person", "traffic cone", "rusted van"]

needs_old_open_clip = pytest.mark.skipif(
    not OLD_OPEN_CLIP.is_dir(), reason="needs open_clip 2.24 beside the newest one: run `make test`"
)


def run_with_old_open_clip(code: str, tests: Path) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, with the old open_clip on its path."""
    return run_with(OLD_OPEN_CLIP, code, tests=tests)


def run_with(folder: Path, code: str, *arguments: str, tests: Path) -> subprocess.CompletedProcess:
    """Run Python in a folder of tests, with the packages of `folder` in front of all others."""
    helpers = Path(__file__).parent
    paths = [str(folder), str(helpers), str(tests), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def golden_arrays(name: str) -> dict[str, np.ndarray]:
    """What another project's code computes, by array: `name`_expected.npz."""
    with np.load(GOLDEN / f"{name}_expected.npz") as stored:
        return dict(stored)
