# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment --workers`: processes, and what is left of them when they are killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import archive_fakes
import numpy as np
import pytest
from paths import ROOT
from PIL import Image

pytest.importorskip("rosbags")

from bag_files import messages, write_bag
from rosbags.typesys import Stores, get_typestore
from video_files import write_video

from dinoiser_ros.errors import MediaError
from dinoiser_ros.media import command as media

SAVE = ("--save", "overlay", "labels", "confidence", "pseudo-labels")
FRAMES, PICTURES, MOST = 30, 5, 16  # 60 images of two cameras in 4 slices


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With in/: a bag, a video and pictures; and alone/: what one process makes of them."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "in").mkdir()
    write_bag(folder / "in" / "drive", content=messages(get_typestore(Stores.ROS2_JAZZY), FRAMES))
    write_video(folder / "in" / "film.mp4")
    for number in range(PICTURES):
        pixels = np.full((32, 48, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / "in" / f"{number}.png")
    options = archive_fakes.parse(folder / "in", "-o", folder / "alone", *SAVE)
    assert media.run(options, partial(archive_fakes.load, folder / "traces", "cpu")) == 0
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


def images(traces: Path) -> int:
    return traces.stat().st_size if traces.exists() else 0


def test_two_workers_one_killed_make_what_one_process_makes(archive, tmp_path, capfd):
    out, traces = tmp_path / "out", tmp_path / "traces"
    arguments = [archive / "in", "-o", out, "--workers", 2, "--slice-frames", MOST, *SAVE]
    loader = partial(archive_fakes.load, traces, kill_at=images(archive / "traces") // 2)
    assert archive_fakes.run(loader, *arguments) == 0
    assert digests(out) == digests(archive / "alone")
    assert images(traces) - images(archive / "traces") <= MOST, "one slice is done again"
    told = capfd.readouterr()
    assert f"{PICTURES} of {PICTURES} pictures, 1 of 1 videos, 1 of 1 bags" in told.out
    assert "1 ended and were replaced" in told.out
    assert told.err.count("\n") == 1 and "it is depth" in told.err

    before = images(traces)
    assert archive_fakes.run(loader, *arguments) == 0, "and nothing is done twice"
    assert images(traces) == before
    assert "7 of 7 inputs are done already" in capfd.readouterr().out


def test_a_driver_that_is_killed_takes_its_workers_along_and_the_next_goes_on(archive, tmp_path):
    out, traces = tmp_path / "out", tmp_path / "traces"
    arguments = [archive / "in", "-o", out, "--workers", 2, "--slice-frames", MOST, *SAVE]
    command = [sys.executable, archive_fakes.__file__, traces, 0.02, *arguments]
    paths = [str(ROOT / "test" / "helpers"), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen([*map(str, command)], env=environment, start_new_session=True) as driver:
        try:
            wait_until(lambda: '"slice"' in read(out / "manifest.jsonl"), driver)
            driver.kill()
            driver.wait()
            wait_until(lambda: not is_session_alive(driver.pid))
        finally:
            if is_session_alive(driver.pid):
                os.killpg(driver.pid, signal.SIGKILL)
    assert digests(out) != digests(archive / "alone")
    assert archive_fakes.run(partial(archive_fakes.load, traces), *arguments) == 0
    assert digests(out) == digests(archive / "alone")
    most_lost = 2 * MOST  # what two workers were at
    assert images(traces) - images(archive / "traces") <= most_lost


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def is_session_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process is None or process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_model_that_cannot_be_loaded_is_one_sentence(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("dinoiser_ros.archives.local_workers.MOST_FAILED_STARTS", 1)
    arguments = [archive / "in", "-o", tmp_path / "out", "--workers", 1]
    with pytest.raises(MediaError, match="No such file or directory: 'weights.safetensors'"):
        archive_fakes.run(archive_fakes.fail_to_load, *arguments)
    with pytest.raises(MediaError, match="workers end before they have a model .exit status 7"):
        archive_fakes.run(archive_fakes.end_while_loading, *arguments)


def test_bad_inputs_are_listed_at_the_end(tmp_path, capfd):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "in" / "good.png")
    loader = partial(archive_fakes.load, tmp_path / "traces")
    arguments = [tmp_path / "in", tmp_path / "nowhere", "-o", tmp_path / "out", "--workers", 1]
    arguments += ["--save", "labels", "coco-panoptic"]
    assert archive_fakes.run(loader, *arguments) == 1
    told = capfd.readouterr()
    assert "1 of 2 pictures, 0 of 1 other files segmented" in told.out
    data = json.loads(read(tmp_path / "out/dataset-coco-panoptic/annotations/panoptic.json"))
    assert [entry["file_name"] for entry in data["images"]] == ["good.png"]
    heading, *listed = told.err.splitlines()[-3:]
    assert heading == "dinoiser: not everything could be segmented:"
    assert "broken.png cannot be read" in listed[0]
    assert listed[1].endswith("nowhere: there is no such file or folder.")


def test_an_address_that_is_an_input_is_noticed(tmp_path):
    with pytest.raises(MediaError, match="put --ray behind the inputs"):
        archive_fakes.run(archive_fakes.fail_to_load, tmp_path, "--ray", tmp_path)
