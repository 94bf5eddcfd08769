# SPDX-License-Identifier: Apache-2.0
"""`python -m dinoiser_ros.cli` is the command `dinoiser`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
