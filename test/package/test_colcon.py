# SPDX-License-Identifier: Apache-2.0
"""`colcon test` runs the tests, or the build says why it cannot: never "0 tests" in silence."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytest.importorskip("ament_index_python.packages", reason="needs ROS 2, or its wheels")
pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")


def configure(folder: Path, *settings: str) -> subprocess.CompletedProcess:
    """Configure a build with tests, as colcon does; the source is only read."""
    command = ["cmake", "-S", ROOT, "-B", folder, f"-DPython3_EXECUTABLE={sys.executable}"]
    return subprocess.run(
        [*command, "-DBUILD_TESTING=ON", *settings], capture_output=True, text=True, timeout=300
    )


def test_a_build_with_tests_lists_the_suite(tmp_path: Path) -> None:
    done = configure(tmp_path)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        ["ctest", "-N", "-V"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    ).stdout
    assert re.search(r"Total Tests: [1-9]", listed), listed
    assert f'"{ROOT / "test"}"' in listed, "the whole suite"


def test_a_build_with_tests_says_what_they_need(tmp_path: Path) -> None:
    done = configure(tmp_path, "-DCMAKE_DISABLE_FIND_PACKAGE_ament_cmake_pytest=ON")
    assert done.returncode != 0
    assert "there is no ament_cmake_pytest. Install it" in " ".join(done.stderr.split())


def test_the_packages_that_tests_need_are_declared() -> None:
    assert "<test_depend>ament_cmake_pytest</test_depend>" in (ROOT / "package.xml").read_text()
    wheels = (ROOT / "requirements-ros.txt").read_text().splitlines()
    assert "ros-kilted-ament-cmake-pytest" in wheels
