# SPDX-License-Identifier: Apache-2.0
"""make drive: robot and node over real DDS, the line that it ends with, and bad arguments."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from paths import ROOT
from ros_helpers import isolate_ros

from dinoiser_ros.ros.drive.prompts import FREE, GRASS_IS_FORBIDDEN, GRASS_IS_GROUND, OBSTACLES
from dinoiser_ros.ros.drive.run import main
from dinoiser_ros.ros.drive.score import Outcome, summary
from dinoiser_ros.ros.segment.parameters import BY_NAME
from dinoiser_ros.ros.segment.points.class_groups import class_groups
from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco

LINE = (
    r"drive: goals=(\d+)/(\d+) collisions=(\d+) forbidden_m=(\S+) "
    r"path_ratio=(\S+) latency_ms=(\S+)"
)
ROOM = r"\[drive\] room 0\S*: .* (\S+) m on grass while it was allowed, (\S+) m after"
CODE = "import sys; from dinoiser_ros.ros.drive.run import main; sys.exit(main())"
MODEL = ROOT / "dinoiser_ros" / "segmentation" / "models" / "data" / "demo.safetensors"


@pytest.fixture(scope="module", autouse=True)
def _renderer() -> None:
    try:
        load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))


def run_drive(*arguments: str) -> tuple[int, str]:
    """The drive in a process of its own: its exit status and what it said."""
    isolate_ros()
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        env={**os.environ, "RCUTILS_COLORIZED_OUTPUT": "0"},
    )
    return done.returncode, done.stdout


@pytest.mark.skipif(not MODEL.is_file(), reason="no embedded model yet")
def test_new_prompts_lead_the_robot_around_the_grass(tmp_path: Path) -> None:
    status, output = run_drive("--latency", "1.0", "--output", str(tmp_path / "out"))
    assert status == 0, output
    reached, goals, collisions, forbidden, ratio, latency = re.fullmatch(
        LINE, output.strip().splitlines()[-1]
    ).groups()
    assert (reached, goals, collisions) == ("2", "2", "0"), output
    allowed, after = map(float, re.search(ROOM, output).groups())
    assert allowed > 1.0, "the shortest way leads across the grass"
    assert after == float(forbidden) < 0.3, "and around it once it is forbidden"
    assert 0.8 < float(ratio) < 1.6 and 0.0 < float(latency) < 60000.0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["drive.jpg", "drive.mp4"]
    cv2 = pytest.importorskip("cv2")
    film = cv2.VideoCapture(str(tmp_path / "out" / "drive.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) > 12
    assert film.read()[1].std() > 10.0


def test_geometry_alone_does_not_see_the_grass() -> None:
    nowhere = Path(__file__) / "out"
    status, output = run_drive("--semantics", "off", "--latency", "0.8", "--output", str(nowhere))
    assert status == 0, output
    assert "the film was not written: " in output and "Traceback" not in output
    last = output.strip().splitlines()[-1]
    assert re.fullmatch(LINE, last).group(1, 2) == ("2", "2")
    assert float(re.fullmatch(LINE, last).group(4)) > 1.0, "it drives across what is forbidden"


def test_a_node_that_cannot_work_ends_the_drive_with_its_reason() -> None:
    status, output = run_drive("-p", "weights:=/nowhere.safetensors")
    assert status == 1
    assert re.search(r"stopped: the segmentation node reports: .*/nowhere\.safetensors", output)
    assert output.strip().splitlines()[-1].startswith("drive: goals=0/2 collisions=0 ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rooms", "0"], "'0' is not a whole number from 1 to 1000"),
        (["--first", "-1"], "'-1' is not a whole number"),
        (["--latency", "soon"], "'soon' is not a number of seconds from 0.05 to 5"),
        (["--latency", "nan"], "'nan' is not a number of seconds"),
        (["--semantics", "maybe"], "invalid choice: 'maybe'"),
        (["there"], "unrecognized arguments: there"),
    ],
)
def test_wrong_arguments_get_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_parameters_file_and_the_drive_agree() -> None:
    file = yaml.safe_load((ROOT / "config" / "drive.yaml").read_text(encoding="utf-8"))
    parameters = file["/**"]["dinoiser"]["ros__parameters"]
    assert set(parameters) <= set(BY_NAME)
    assert parameters["prompts"] == list(GRASS_IS_GROUND)
    groups = class_groups(parameters)
    assert {group.topic for group in groups} == {*OBSTACLES, *FREE}
    names = {prompt.partition(":")[0] for prompt in GRASS_IS_FORBIDDEN}
    grouped = {name for group in groups for name in group.classes}
    assert grouped == names - {"sky"}, "once grass is forbidden every class exists"


def test_the_last_line_sums_up() -> None:
    first = Outcome(2, 2, 0, [], 1.0, 0.25, [1.0, 1.2], [0.1, 0.3])
    second = Outcome(2, 1, 3, ["box"], 0.0, 0.5, [1.4], [0.2])
    assert summary([first, second]) == (
        "drive: goals=3/4 collisions=3 forbidden_m=0.75 path_ratio=1.20 latency_ms=200"
    )
    assert summary([]).endswith("path_ratio=nan latency_ms=nan")
    assert "3 collisions (box)" in str(second)


def test_depth_is_published_in_millimetres() -> None:
    from dinoiser_ros.ros.drive.node import in_millimetres

    depth = np.array([[0.5, 1.2344, np.inf, 12.0, np.nan]], np.float32)
    assert in_millimetres(depth).tolist() == [[500, 1234, 0, 0, 0]]
