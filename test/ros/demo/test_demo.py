# SPDX-License-Identifier: Apache-2.0
"""make demo: three processes over real DDS, and the line that it ends with."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from paths import ROOT
from ros_helpers import GOLDEN_MODEL, isolate_ros
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from dinoiser_ros.messages.encode import image_message
from dinoiser_ros.ros.demo.score import PROMPT_SETS, overall_iou, score_of
from dinoiser_ros.ros.demo.watcher import Watcher
from dinoiser_ros.sim.classes import CLASSES

LINE = r"demo: frames=(\d+) published=(\d+) mIoU=(\S+) latency_ms=(\S+)"
MODELS = ROOT / "dinoiser_ros" / "segmentation" / "models" / "data"
CODE = "import sys; from dinoiser_ros.ros.demo.run import main; sys.exit(main())"


def start_demo(output: Path, *arguments: str) -> subprocess.Popen:
    """The demo in a process of its own, without a window."""
    isolate_ros()
    words = ["--seconds", "4", "--headless", "--output", str(output), *arguments]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RCUTILS_COLORIZED_OUTPUT": "0"},
    )


def golden_arguments(**changes: object) -> list[str]:
    """The golden model, which has no idea of the world, for the embedded one."""
    parameters = {**GOLDEN_MODEL, **changes}
    words = [
        f"{name}:={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in parameters.items()
    ]
    return [part for word in words for part in ("-p", word)]


def children_of(process: subprocess.Popen) -> list[int]:
    """Process ids of its children (Linux)."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in file.read_text().split()]


@pytest.mark.skipif(not (MODELS / "demo.safetensors").is_file(), reason="no embedded model yet")
def test_demo_streams_both_prompt_sets_and_sees_the_world(tmp_path: Path) -> None:
    process = start_demo(tmp_path / "out")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    last = output.strip().splitlines()[-1]
    frames, published, iou, latency = re.fullmatch(LINE, last).groups()
    assert int(frames) >= int(published) >= 2
    assert 0.25 < float(iou) <= 1.0
    assert 0.0 < float(latency) < 60000.0
    pictures = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert {"prompts_1_overlay_1.png", "prompts_2_overlay_1.png"} <= set(pictures)
    assert str(tmp_path / "out") in output
    domain, namespace = re.search(
        r"ROS_DOMAIN_ID=(\d+) ros2 topic hz (\S+)/dinoiser/", output
    ).groups()
    assert domain != os.environ["ROS_DOMAIN_ID"] and namespace.startswith("/dinoiser_demo_")


def test_nobody_elses_node_is_listened_to() -> None:
    """A robot's /dinoiser in the same domain is neither asked nor believed."""
    isolate_ros()
    rclpy.init(args=[])
    watcher = Watcher(PROMPT_SETS, "/own")
    try:
        asked = watcher.resolve_service_name(watcher._client.srv_name)
        assert asked == "/own/dinoiser/set_prompts"
        topics = {watcher.resolve_topic_name(entry.topic_name) for entry in watcher.subscriptions}
        assert all(name.startswith("/own/") for name in topics - {"/diagnostics"})
        for name, failure in (("dinoiser", ""), ("a/own/dinoiser", ""), ("own/dinoiser", "x")):
            status = DiagnosticStatus(name=f"{name}: node", level=DiagnosticStatus.ERROR)
            status.message = "x"
            watcher._on_diagnostics(DiagnosticArray(status=[status]))
            assert watcher.failure == failure
    finally:
        watcher.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"device": "nonsense"}, r"segment_node \(exit status \d+\) ended"),
        ({"weights": "/nowhere.safetensors"}, r"node reports: .*/nowhere\.safetensors"),
    ],
)
def test_demo_without_a_node_fails_at_once_and_says_why(
    tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    process = start_demo(tmp_path / "out", *golden_arguments(**change))
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert re.search(sentence, output)
    assert re.fullmatch(LINE, output.strip().splitlines()[-1])


def test_ctrl_c_ends_the_demo_and_its_children(tmp_path: Path) -> None:
    process = start_demo(tmp_path / "out", *golden_arguments())
    end = time.monotonic() + 240
    while len(children := children_of(process)) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(children) == 3
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "interrupted" in output and "Traceback" not in output
    assert not [number for number in children if Path(f"/proc/{number}").exists()]


def test_frames_count_though_their_images_got_lost() -> None:
    """What comes reliably comes in any order; images may not come at all."""
    isolate_ros()
    rclpy.init(args=[])
    watcher = Watcher(PROMPT_SETS)
    try:
        truths = [image_message(np.zeros((2, 3), np.uint8), "mono8", at(s)) for s in (1, 2, 3)]
        for truth in truths[:2]:
            watcher._on_truth(truth)
        names = [VisionClass(class_name=name) for name in score_of(PROMPT_SETS[0]).names]
        watcher._on_labels(LabelInfo(header=at(2), class_map=names))
        watcher._on_truth(truths[2])
        for mask in truths:
            watcher._on_mask(mask)
        assert (watcher.frames, watcher.published) == (2, 2)
    finally:
        watcher.destroy_node()
        rclpy.try_shutdown()


def at(second: int) -> Header:
    return Header(stamp=Time(sec=second))


def test_a_perfect_mask_scores_one() -> None:
    truth = np.array([[0, 1, 5], [10, 10, 255]], np.uint8)
    for prompts in PROMPT_SETS:
        score = score_of(prompts)
        table = np.full(256, 255, np.uint8)
        for number, phrases in enumerate(score.phrases):
            for phrase in phrases:
                table[CLASSES.index(phrase)] = number
        score.add(table[truth], truth)
        assert score.mean_iou() == 1.0


def test_every_simulated_class_is_asked_for_once() -> None:
    for prompts in PROMPT_SETS:
        phrases = [phrase for listed in score_of(prompts).phrases for phrase in listed]
        assert sorted(phrases) == sorted(CLASSES)


def test_unlabeled_pixels_are_misses_and_sets_are_weighted_by_frames() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    half, none = score_of(CLASSES), score_of(CLASSES)
    half.add(np.array([[0, 255, 1, 255]], np.uint8), truth)
    assert half.mean_iou() == pytest.approx(0.5)
    for _ in range(3):
        none.add(np.full((1, 4), 255, np.uint8), truth)
    assert overall_iou([half, none]) == pytest.approx(0.125)
    assert math.isnan(overall_iou([score_of(CLASSES)]))
