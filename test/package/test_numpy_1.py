# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on pixels with the numpy that ROS 2 has up to Kilted.

numpy 1 chooses the type of a result also by the values: 8 bits times a 16-bit 100 are 8 bits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from golden_data import run_with

TESTS = Path(__file__).resolve().parents[1]
NUMPY_1 = Path(sys.prefix) / "numpy-1"
FILES = [
    "messages/test_decode_encode.py",
    "messages/test_depth.py",
    "geometry/test_points.py",
    "geometry/test_surfaces.py",
    "evaluation/metrics/test_confusion.py",
    "segmentation/test_golden.py",
    "media/test_inputs.py",
    "visualization/test_class_regions.py",
    "segmentation/pixels/test_transfer.py::test_results_survive_being_packed",
    "visualization/test_overlay.py",
]
CODE = """
import sys, numpy, pytest
assert numpy.__version__.startswith("1."), numpy.__version__
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.skipif(
    not (NUMPY_1 / "numpy").is_dir(),
    reason="needs numpy 1 beside numpy 2 (Python before 3.13): run `make test`",
)
def test_what_reckons_with_pixels_gives_the_same() -> None:
    done = run_with(NUMPY_1, CODE, "-q", "-p", "no:cacheprovider", *FILES, tests=TESTS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
