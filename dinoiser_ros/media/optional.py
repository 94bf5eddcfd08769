# SPDX-License-Identifier: Apache-2.0
"""Packages that only some inputs need: looked for when such an input is there."""

from __future__ import annotations

from importlib import import_module

from dinoiser_ros.errors import MediaError


def require(purpose: str, packages: dict[str, str], extra: str) -> None:
    """Check that packages can be imported.

    Args:
        purpose: what needs them, in the plural, such as "videos".
        packages: the names pip knows them by, by module.
        extra: of this package, that brings them all.

    Raises:
        MediaError: one is missing; it says how to install it.
    """
    for module, package in packages.items():
        try:
            import_module(module)
        except ImportError as error:
            raise MediaError(
                f"{purpose} need {package}, which cannot be imported ({error}): pip install "
                f"{package}, or install dinoiser_ros with its extra, pip install '.[{extra}]'."
            ) from error
