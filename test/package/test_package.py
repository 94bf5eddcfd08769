# SPDX-License-Identifier: Apache-2.0
"""The package as it is installed: by pip without ROS, by colcon with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from paths import ROOT
from vision_msgs_hashes import STANDARD_HASHES

pytestmark = pytest.mark.xdist_group("package")  # the wheel is built once


def share(package: str) -> Path:
    """The share folder of a built ROS package."""
    index = pytest.importorskip("ament_index_python.packages")
    return Path(index.get_package_share_directory(package))


@pytest.mark.parametrize("name", sorted(STANDARD_HASHES))
def test_vision_msgs_is_the_standard_one_on_the_wire(name: str) -> None:
    file = share("vision_msgs") / "msg" / f"{name}.json"
    if not file.is_file():
        pytest.skip("this ROS has no type hashes (Humble)")
    entries = json.loads(file.read_text())["type_hashes"]
    hashes = {entry["type_name"]: entry["hash_string"] for entry in entries}
    assert hashes[f"vision_msgs/msg/{name}"] == f"RIHS01_{STANDARD_HASHES[name]}"


def test_a_colcon_workspace_does_not_see_the_minimal_vision_msgs() -> None:
    assert (ROOT / "third_party" / "COLCON_IGNORE").is_file()
    assert not (ROOT / "third_party" / "vision_msgs" / "COLCON_IGNORE").exists()


def test_launch_files_and_parameters_are_installed() -> None:
    folder = share("dinoiser_ros")
    launch = [f"launch/{name}.launch.py" for name in ("segment", "demo", "drive")]
    for name in (*launch, "config/segment.yaml", "config/drive.yaml"):
        assert (folder / name).is_file()


@pytest.mark.parametrize(
    "name", ["demo", "drive", "image_source", "segment_node", "sim_camera", "viewer", "web_console"]
)
def test_executables_are_installed(name: str) -> None:
    script = share("dinoiser_ros").parents[1] / "lib" / "dinoiser_ros" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env python3\n")


def test_the_sample_parameters_are_accepted() -> None:
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("rclpy")
    from dinoiser_ros.ros.parameter_declaration import check
    from dinoiser_ros.ros.segment import parameters

    text = (ROOT / "config" / "segment.yaml").read_text()
    written = yaml.safe_load(text)["/**"]["dinoiser"]["ros__parameters"]
    # The lines that are commented out as examples have to be right as well.
    for example in re.findall(r"(?m)^      # ([a-z_]+: .*)$", text):
        written.update(yaml.safe_load(example))
    assert len(written) > 10
    for name, value in written.items():
        check(parameters.BY_NAME[name], value)


def sdist_files() -> list[str]:
    """What MANIFEST.in adds to an sdist."""
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    return [name for line in lines if line.startswith("include ") for name in line.split()[1:]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` installs, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # pip builds in the source's folder, and build/ is colcon's
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dinoiser_ros", source / "dinoiser_ros", ignore=ignore)
    # Nothing else than what an sdist has: a wheel has to be made of that, too.
    for name in (*sdist_files(), "setup.py", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--quiet", "--wheel-dir", folder, source], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_pip_installs_the_part_without_ros(wheel: Path) -> None:
    installed = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    for part in ("segmentation", "training", "evaluation", "media", "sim"):
        assert f"dinoiser_ros/{part}/__init__.py" in installed
    assert "dinoiser_ros/visualization/overlay.py" in installed
    assert not [name for name in installed if name.startswith("dinoiser_ros/ros/")]
    listed = subprocess.run(
        ["git", "ls-files", "dinoiser_ros"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("the files of the package are known where its sources are a git repository")
    files = {name for name in listed.stdout.split() if (ROOT / name).is_file()}
    assert "dinoiser_ros/py.typed" in files and len(files) > 200
    wanted = {name for name in files if not name.startswith("dinoiser_ros/ros/")}
    assert {name for name in installed if name.startswith("dinoiser_ros/")} == wanted


def test_the_wheel_says_what_people_and_pypi_look_for(wheel: Path) -> None:
    (metadata,) = wheel.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    for line in ("Author-email: ", "License", "Requires-Python: >=3.10", "Keywords: "):
        assert f"\n{line}" in text
    for extra in ("video", "bags", "ray", "parquet", "export"):
        assert f"\nProvides-Extra: {extra}\n" in text
    assert list(wheel.glob("*.dist-info/**/LICENSE"))


def test_the_part_without_ros_imports_no_ros(wheel: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('rclpy', 'sensor_msgs', 'vision_msgs', 'ament_index_python'):\n"
        "    sys.modules[name] = None\n"  # importing it raises ImportError
        "from dinoiser_ros.segmentation import Segmenter\n"
        "import dinoiser_ros.evaluation, dinoiser_ros.sim.classes\n"
        "import dinoiser_ros.visualization.overlay, dinoiser_ros.cli.main\n"
        "import dinoiser_ros; print(dinoiser_ros.__file__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=wheel
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == wheel / "dinoiser_ros" / "__init__.py"


def test_pip_installs_the_command(wheel: Path) -> None:
    (entry_points,) = wheel.glob("*.dist-info/entry_points.txt")
    assert "dinoiser = dinoiser_ros.cli.main:main" in entry_points.read_text()
