# SPDX-License-Identifier: Apache-2.0
"""The two cameras of this package, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from paths import HELD_OUT
from PIL import Image as Picture
from ros_helpers import TIMEOUT, Client, isolate_ros, pixels_of, stamp_of, wait_until
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import LabelInfo

from dinoiser_ros.messages.decode import rgb_from_message
from dinoiser_ros.sim.classes import CLASSES


class Process:
    """An executable of this package, running."""

    def __init__(self, name: str, *parameters: str) -> None:
        isolate_ros()
        code = f"import sys; from dinoiser_ros.ros.tools.{name} import main; sys.exit(main())"
        words = [word for parameter in parameters for word in ("-p", parameter)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--ros-args", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "RCUTILS_COLORIZED_OUTPUT": "0"},
        )

    def end(self, number: int | None = signal.SIGINT) -> tuple[int, str]:
        """Send a signal (None: just wait); returns exit status and output."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, output

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def client() -> Iterator[Client]:
    """A node that listens."""
    client = Client()
    yield client
    client.close()


def test_image_source_shows_what_can_be_read(client: Client, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    images = client.collect(Image, "/image", 10)
    with Process("image_source", f"path:={tmp_path}", "rate:=50.0", "frame_id:=front") as process:
        wait_until(lambda: len(images) >= 5, "five images in a loop")
        status, output = process.end()
    assert status == 0
    assert output.count("b.png cannot be read") == 1
    assert images[-1].header.frame_id == "front"
    stamps = [stamp_of(message) for message in images]
    assert stamps == sorted(set(stamps))
    assert np.array_equal(rgb_from_message(images[-1]), pixels)


def test_image_source_plays_once_for_its_first_subscriber(client: Client, tmp_path: Path) -> None:
    for number in range(3):
        Picture.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    with Process("image_source", f"path:={tmp_path}", "rate:=20.0", "loop:=false") as process:
        images = client.collect(Image, "/image", 10)
        status, output = process.end(None)
    wait_until(lambda: len(images) == 3, "three images")
    assert [int(rgb_from_message(image)[0, 0, 0]) for image in images] == [0, 1, 2]
    assert status == 0
    assert "3 frames published" in output


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("path:=/nowhere", "there is no file or folder /nowhere"),
        ("path:=977", "webcam 977 cannot be opened"),
        ("rate:=-3.0", "rate"),
    ],
)
def test_image_source_says_what_is_wrong(parameter: str, sentence: str) -> None:
    with Process("image_source", parameter) as process:
        status, output = process.end(None)
    assert status == 1
    assert sentence in output
    assert "Traceback" not in output


def test_image_source_gives_up_on_a_folder_without_one_readable_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    with Process("image_source", f"path:={tmp_path}", "rate:=100.0") as process:
        status, output = process.end(None)
    assert status == 1
    assert "can be read" in output


def check_stream(client: Client, *parameters: str) -> str:
    """Images and ground truth of sim_camera fit together; returns the process's output."""
    images = client.collect(Image, "/image", 10)
    truths = client.collect(Image, "/sim_camera/ground_truth", 10)
    labels = client.collect(LabelInfo, "/sim_camera/label_info", 1)
    with Process("sim_camera", "rate:=20.0", *parameters) as process:
        wait_until(lambda: len(images) >= 3 and len(truths) >= 3, "three frames")
        _, output = process.end(signal.SIGTERM)
    by_stamp = {stamp_of(message): message for message in truths}
    truth = by_stamp[stamp_of(images[-1])]
    assert (truth.height, truth.width) == (images[-1].height, images[-1].width)
    assert truth.header == images[-1].header
    assert set(np.unique(pixels_of(truth))) <= {*range(len(CLASSES)), 255}
    if labels:
        names = [entry.class_name for entry in labels[-1].class_map]
        assert names == list(CLASSES)
    return output


@pytest.mark.skipif(
    not (HELD_OUT / "index.json").is_file(), reason="the held-out frames are not here"
)
def test_sim_camera_shows_the_recorded_frames(client: Client) -> None:
    assert "held-out frames" in check_stream(client, "recorded:=true")


@pytest.mark.skipif(
    not (HELD_OUT / "index.json").is_file(), reason="the held-out frames are not here"
)
def test_sim_camera_without_a_renderer_says_what_to_install(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    monkeypatch.delenv("DINOISER_GL_CHECKED", raising=False)
    output = check_stream(client)
    assert "install libegl1" in output
    assert "held-out frames" in output


def test_sim_camera_renders(client: Client) -> None:
    from dinoiser_ros.sim.gl import RendererUnavailable, load_mujoco

    try:
        load_mujoco()
    except RendererUnavailable as error:
        pytest.skip(str(error))
    infos = client.collect(CameraInfo, "/camera_info", 10)
    depths = client.collect(Image, "/depth", 10)
    check_stream(client, "width:=64", "height:=48", "room_seconds:=0.1")
    info, depth = infos[-1], depths[-1]
    assert (info.width, info.height) == (64, 48)
    assert info.k[0] == info.k[4] > 0
    assert (info.k[2], info.k[5]) == (31.5, 23.5)  # the first pixel's centre is (0, 0)
    assert depth.encoding == "32FC1"
    metres = np.frombuffer(depth.data, np.float32).reshape(48, 64)
    assert metres.min() > 0.05
