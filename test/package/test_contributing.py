# SPDX-License-Identifier: Apache-2.0
"""The recipes of CONTRIBUTING.md lead somewhere: every file and every name in them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from paths import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {part.splitlines()[0]: part for part in TEXT.split("## Recipes")[1].split("\n### ")[1:]}
# `path/file.py`, `path/file.py: Name`, `folder/`; a file of the root needs a suffix.
REFERENCE = re.compile(r"`([\w.-]+(?:/[\w.-]+)*/?)(?:: (\w+))?`")


def references(text: str) -> list[tuple[str, str]]:
    """(path, name) of everything in backticks that names a file or a folder; name "" for none."""
    return [
        (path, name)
        for path, name in REFERENCE.findall(" ".join(text.split()))
        if "/" in path or Path(path).suffix in (".py", ".md", ".txt", ".rst", ".toml")
    ]


def defined(path: Path) -> set[str]:
    """What a module defines at its top: functions, classes, and names that get a value."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def missing(text: str) -> list[str]:
    """The files, folders and names in a text that do not exist."""
    found = []
    for path, name in references(text):
        place = ROOT / path
        if not (place.is_dir() if path.endswith("/") else place.is_file()):
            found.append(path)
        elif name and name not in defined(place):
            found.append(f"{path}: {name}")
    return found


@pytest.mark.parametrize("title", RECIPES)
def test_every_file_and_name_in_a_recipe_exists(title):
    assert len(references(RECIPES[title])) >= 3, "a recipe names its files"
    assert missing(RECIPES[title]) == []


def test_every_file_in_the_rest_exists():
    assert missing(TEXT.split("## Recipes")[0]) == []


def test_the_recipes_are_those_that_people_need():
    wanted = ("method", "encoding", "output", "model", "parameter", "data set")
    assert [word for word in wanted if not any(word in title for title in RECIPES)] == []


def test_what_is_gone_is_found():
    gone = "`dinoiser_ros/nowhere.py`, `dinoiser_ros/errors.py: NoSuchError`, `nowhere/`"
    assert missing(gone) == [
        "dinoiser_ros/nowhere.py",
        "dinoiser_ros/errors.py: NoSuchError",
        "nowhere/",
    ]
    assert missing("`dinoiser_ros/errors.py: DinoiserError` and `test/`") == []
