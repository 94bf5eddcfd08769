"""`python -m dinoiser_ros.evaluation` is `dinoiser evaluate`."""

import sys

from dinoiser_ros.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
