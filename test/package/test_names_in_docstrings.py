# SPDX-License-Identifier: Apache-2.0
"""Modules that docstrings and documents name exist: files move, and names stay behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from paths import ROOT

PACKAGE = ROOT / "dinoiser_ros"
ROOMS = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").is_file())
_ROOM = "|".join(ROOMS)
# `segmentation.methods.found`, dinoiser_ros.sim.drive: with or without the package in front.
DOTTED = re.compile(
    rf"\bdinoiser_ros((?:\.[a-z_0-9]+)+)|`((?:{_ROOM})(?:\.(?!json\b)[a-z_0-9]+)+)`"
)
GENERATED = {"msg", "srv"}  # by rosidl


def exists(dotted: str) -> bool:
    """Whether a module is there, or a module with that name in it."""
    parts = dotted.split(".")
    if parts[0] in GENERATED:
        return True
    for inside in (parts, parts[:-1]):
        place = PACKAGE.joinpath(*inside)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if inside and file.is_file():
                return inside is parts or parts[-1] in re.findall(r"\w+", file.read_text("utf-8"))
    return False


def named(text: str) -> set[str]:
    return {(first or second).lstrip(".") for first, second in DOTTED.findall(text)}


def files() -> list[Path]:
    folders = (PACKAGE, ROOT / "bench", ROOT / "tools")
    code = [path for folder in folders for path in folder.rglob("*.py")]
    return [*code, *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "Makefile"]


def test_named_modules_exist() -> None:
    gone = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files()
        for name in named(path.read_text(encoding="utf-8"))
        if not exists(name)
    }
    assert gone == set()


@pytest.mark.parametrize("name", ["segmentation.closed_set", "training.demo.main", "ros.nowhere"])
def test_a_module_that_is_gone_is_found(name: str) -> None:
    assert named(f"see `{name}`") == {name} == named(f"dinoiser_ros.{name}")
    assert not exists(name)
