# SPDX-License-Identifier: Apache-2.0
"""Command lines of nodes: help, and parameters that rcl would misread or never see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dinoiser_ros.errors import ParameterError
from dinoiser_ros.ros.process_arguments import Program, asks_for_help, prepared
from dinoiser_ros.ros.segment.main import PROGRAM
from dinoiser_ros.utils.option import by_name

SOURCE = Program("source", "source", "About.", as_text=("path",))


def file_with(folder: Path, text: str, section: str = "/**") -> str:
    """A parameters file with one section."""
    path = folder / "given.yaml"
    path.write_text(f"{section}:\n  ros__parameters:\n    {text}\n", encoding="utf-8")
    return str(path)


def prompts_of(folder: Path, text: str, *words: str) -> list[str]:
    """The prompts that rcl gets from a parameters file."""
    given = ["--ros-args", "--params-file", file_with(folder, text), *words]
    with prepared(PROGRAM, given) as arguments:
        content = yaml.safe_load(Path(arguments[2]).read_text(encoding="utf-8"))
    return content["/**"]["ros__parameters"]["prompts"]


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("prompts: [floor, person]", ["floor", "person"]),
        ("prompts:\n    - floor: carpet, tiles\n    - person", ["floor: carpet, tiles", "person"]),
        ("prompts: [{floor: [carpet, tiles]}]", ["floor: carpet, tiles"]),
        ("prompts: ['yes', \"7\"]", ["yes", "7"]),
        ("prompts: [y, Straße]", ["y", "Straße"]),
    ],
)
def test_prompts_in_files_are_read_as_they_mean_it(
    text: str, prompts: list[str], tmp_path: Path
) -> None:
    assert prompts_of(tmp_path, text) == prompts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prompts: [yes, 7, null]", "write ['yes', '7', 'null']"),
        ("prompts: [floor, 007]", "write ['floor', '007']"),
        ("prompts: {floor: carpet}", "prompts: ['floor: carpet']"),
        ("image_topics: [1]", "write ['1']"),
    ],
)
def test_what_is_no_text_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as refused:
        prompts_of(tmp_path, text)
    assert sentence in str(refused.value)
    name, _, value = text.partition(": ")
    with (
        pytest.raises(ParameterError) as refused,
        prepared(PROGRAM, ["--ros-args", "-p", f"{name}:={value}"]),
    ):
        pass
    assert sentence in str(refused.value)


def test_other_nodes_sections_stay_as_they_are(tmp_path: Path) -> None:
    path = file_with(tmp_path, "prompts: [1, 2]", "/other")
    with prepared(PROGRAM, ["--ros-args", "--params-file", path]) as words:
        assert words[2] == path


@pytest.mark.parametrize(
    ("section", "remap", "reaches"),
    [
        ("dinoiser", "", True),
        ("/**", "__ns:=/robot", True),
        ("/**/dinoiser", "__ns:=/a/b", True),
        ("/*/dinoiser", "__ns:=/robot", True),
        ("/*/dinoiser", "__ns:=/a/b", False),
        ("dinoiser", "__ns:=/robot", False),
        ("dinosier", "", False),
        ("front", "__node:=front", True),
    ],
)
def test_a_file_that_is_for_no_such_node_is_warned_of(
    section: str,
    remap: str,
    reaches: bool,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["--ros-args", "--params-file", file_with(tmp_path, "gamma: 0.5", section)]
    with prepared(PROGRAM, words + (["-r", remap] if remap else [])):
        pass
    assert (capfd.readouterr().err == "") == reaches


def test_what_would_never_arrive_is_refused(tmp_path: Path) -> None:
    for words, sentence in (
        (["prompts:=[floor]"], "'prompts:=.floor.' is not read"),
        (["--ros-args", "-p", "gamma:=0.1", "--", "x"], "'x' is not read"),
        (
            ["--ros-args", "--params-file", str(tmp_path / "no.yaml")],
            "no parameters file .*no.yaml",
        ),
    ):
        with pytest.raises(ParameterError, match=sentence), prepared(PROGRAM, words):
            pass


@pytest.mark.parametrize(
    ("given", "text"), [("2024", "2024"), ("007", "007"), ("on", "on"), ("'x y'", "x y")]
)
def test_a_path_arrives_as_it_was_written(given: str, text: str) -> None:
    with prepared(SOURCE, ["--ros-args", "-p", f"path:={given}"]) as words:
        value = yaml.safe_load(words[2].partition(":=")[2])
    assert value == text


def test_help_is_asked_for_outside_of_ros_arguments() -> None:
    assert asks_for_help(["-h"]) and asks_for_help(["--ros-args", "-p", "a:=b", "--", "--help"])
    assert not asks_for_help(["--ros-args", "-p", "--help"])


@pytest.mark.parametrize(
    "module",
    ["ros.segment.main", "ros.tools.image_source", "ros.tools.sim_camera", "ros.tools.viewer"],
)
def test_help_says_what_there_is_and_starts_nothing(module: str) -> None:
    command = [sys.executable, "-m", f"dinoiser_ros.{module}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")
    if module == "ros.segment.main":
        assert all(f"  {name} (" in done.stdout for name in by_name(PROGRAM.options))


def test_a_folder_named_like_a_number_is_no_webcam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from dinoiser_ros.media.frame_sources import open_source

    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "2024" / "a.png")
    assert "1 picture" in open_source("2024").description
