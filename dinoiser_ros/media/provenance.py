# SPDX-License-Identifier: Apache-2.0
"""What the results of a command line depend on."""

from __future__ import annotations

import argparse

from dinoiser_ros.option_schema import FRAME_OPTIONS, MODEL_OPTIONS
from dinoiser_ros.utils.version import package_version

# They change where a model computes and how fast, but not which one it is.
_WITHOUT_EFFECT = ("device", "offline", "cuda_graphs")


def described(options: argparse.Namespace) -> dict[str, object]:
    """Model, method, options, prompts and version of a command line, as JSON values."""
    rows = (*MODEL_OPTIONS, *FRAME_OPTIONS)
    names = [option.name for option in rows if option.name not in _WITHOUT_EFFECT]
    found = {name: getattr(options, name) for name in (*names, "prompts") if hasattr(options, name)}
    version = package_version()
    return {**found, "dinoiser_ros": version} if version else found
