#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a module of an installed package, as python3 -m does, but never one of the current folder.

In the root of this repository `python3 -m` finds ./dinoiser_ros, which lacks the generated
messages, before the installed package; python3 -P prevents that only from Python 3.11 on.

Usage: python3 tools/run_module.py MODULE [ARGUMENT...]
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    del sys.argv[0]
    # This tool's own folder, which Python put there unless PYTHONSAFEPATH is set.
    sys.path[:] = [folder for folder in sys.path if folder != str(Path(__file__).resolve().parent)]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
