#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the CMake files of the ROS 2 wheels in this interpreter's environment usable.

The wheels export, in ``share/<package>/cmake/*.cmake``, the header directories of the machine that
they were built on (``/opt/python/cp311-cp311/include/python3.11`` and numpy's, beside it). CMake
refuses a target whose include directory does not exist, so nothing can be built against them. This
tool replaces these directories by the ones of the interpreter that runs it and of its numpy.
Running it again changes nothing.

Usage: .venv/bin/python tools/patch_ros_wheels.py
"""

import re
import sys
import sysconfig
from pathlib import Path

# The build machine's interpreter, as in manylinux images: /opt/python/cp312-cp312 and so on.
BUILD_PREFIX = r"/opt/python/[^/;\"]+"
PYTHON_HEADERS = re.compile(BUILD_PREFIX + r"/include/python[^/;\"]+")
NUMPY_HEADERS = re.compile(BUILD_PREFIX + r"/lib/python[^/;\"]+/site-packages/numpy/_?core/include")


def patch_text(text: str, python_headers: str, numpy_headers: str) -> str:
    """Return ``text`` with the build machine's two header directories replaced."""
    text = NUMPY_HEADERS.sub(lambda _: numpy_headers, text)
    return PYTHON_HEADERS.sub(lambda _: python_headers, text)


def patch_prefix(prefix: Path, python_headers: str, numpy_headers: str) -> int:
    """Patch every CMake file under ``prefix``/share and return how many were changed."""
    changed = 0
    for path in sorted(prefix.glob("share/**/*.cmake")):
        old = path.read_text(encoding="utf-8")
        new = patch_text(old, python_headers, numpy_headers)
        if new != old:
            path.write_text(new, encoding="utf-8")
            changed += 1
    return changed


def main() -> int:
    """Patch the running interpreter's environment; exit status 1 if its headers are missing."""
    import numpy

    python_headers = sysconfig.get_path("include")
    if not Path(python_headers, "Python.h").is_file():
        print(
            f"There is no Python.h in {python_headers}: install this Python's headers "
            "(Debian, Ubuntu: the package python3-dev), then run make again.",
            file=sys.stderr,
        )
        return 1
    changed = patch_prefix(Path(sys.prefix), python_headers, numpy.get_include())
    print(f"patched the header paths in {changed} CMake files of the ROS 2 wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())
