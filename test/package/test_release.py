# SPDX-License-Identifier: Apache-2.0
"""What a release needs: package.xml and the changelog for bloom, pixi.toml, the tag."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET

import pytest
import yaml
from paths import ROOT


def dependencies() -> set[str]:
    """What package.xml depends on."""
    tree = ET.parse(ROOT / "package.xml").getroot()
    return {entry.text for entry in tree if entry.tag.endswith("depend") and entry.text}


def test_bloom_can_read_the_package():
    package = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    found = package.parse_package(ROOT / "package.xml", warnings=warnings)
    found.validate(warnings=warnings)
    assert warnings == []
    assert found.licenses == ["Apache-2.0"] and (ROOT / found.licenses[0].file).is_file()
    assert found.maintainers and found.authors and found.description


def test_bloom_can_read_the_changelog():
    changelog = pytest.importorskip("catkin_pkg.changelog")
    pytest.importorskip("docutils")
    found = changelog.get_changelog_from_path(str(ROOT))
    (version,) = re.findall(r"<version>(.+)</version>", (ROOT / "package.xml").read_text("utf-8"))
    versions = [entry for entry, _, _ in found.foreach_version()]
    assert version in versions


def test_pixi_brings_what_package_xml_and_pip_ask_for():
    toml = pytest.importorskip("tomllib", reason="of Python 3.11 and newer")
    manifest = toml.loads((ROOT / "pixi.toml").read_text(encoding="utf-8"))
    brought = set(manifest["dependencies"])
    conda = {
        "python3-numpy": "numpy", "python3-opencv": "opencv", "python3-pil": "pillow",
        "python3-tqdm": "tqdm", "python3-yaml": "pyyaml", "python3-hypothesis": "hypothesis",
        "python3-pytest": "pytest", "python3-aiohttp": "aiohttp", "python3-scipy": "scipy",
        "torch": "pytorch", "PyYAML": "pyyaml",
    }  # fmt: skip
    named = {conda.get(name, f"ros-kilted-{name.replace('_', '-')}") for name in dependencies()}
    assert named - brought == set()
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"(?m)^(\w+)(>=.+)$", text):
        place = "pypi-dependencies" if name in manifest["pypi-dependencies"] else "dependencies"
        assert manifest[place][conda.get(name, name)] == version
    for script in manifest["activation"]["scripts"]:
        assert subprocess.run(["sh", "-n", ROOT / script]).returncode == 0


@pytest.mark.parametrize(("tag", "status"), [("0.0.9", 1), ("now", 0), ("vnow", 0), ("0x1.0", 1)])
def test_a_tag_has_to_be_the_version_of_the_package(tag, status):
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    steps = yaml.safe_load(text)["jobs"]["build"]["steps"]
    (command,) = [step["run"] for step in steps if step.get("name", "").startswith("The tag")]
    (version,) = re.findall(r"<version>(.+)</version>", (ROOT / "package.xml").read_text("utf-8"))
    environment = {"GITHUB_REF_NAME": tag.replace("now", version), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment)
    assert done.returncode == status


def test_the_picture_that_a_release_is_tried_with_is_there():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    named = re.findall(r"\$GITHUB_WORKSPACE/([\w./]+)", text)
    assert named and all((ROOT / name).is_file() for name in named)
