# SPDX-License-Identifier: Apache-2.0
"""The version of this package."""

from __future__ import annotations

from importlib import metadata


def package_version() -> str | None:
    """The installed package's version, as in package.xml; None where the sources are run."""
    try:
        return metadata.version("dinoiser_ros")
    except metadata.PackageNotFoundError:
        return None
