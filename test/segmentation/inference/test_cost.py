# SPDX-License-Identifier: Apache-2.0
"""What frames cost is told before it is spent."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from forked_process import ForkedProcess

from dinoiser_ros.errors import ImageError, OptionError
from dinoiser_ros.ros.segment.engine import check_changes
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference import cost
from dinoiser_ros.segmentation.inference.cost import FrameKind, frame_memory, frame_seconds
from dinoiser_ros.utils.available_memory import available_memory

# A frame's peak beside what the process holds before, in bytes.
PEAK = """
import sys, numpy as np
from dinoiser_ros.segmentation import Segmenter
from dinoiser_ros.segmentation.inference.cost import FrameKind, frame_memory

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

segmenter = Segmenter("demo", device="cpu", precision="float32", offline=True)
side, classes = map(int, sys.argv[1:])
segmenter.set_prompts([f"thing {i}" for i in range(classes)])
segmenter.set_options(inference_size=64)
image = np.zeros((side, side, 3), np.uint8)
segmenter.segment(image[:64, :64])
segmenter.set_options(inference_size=side)
open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = status("VmRSS")
segmenter.segment(image)
shape = (side, side)
estimated = frame_memory(FrameKind(shape, shape, classes), segmenter.parts)
print(status("VmHWM") - before, estimated)
"""


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    segmenter = Segmenter("demo", device="cpu", precision="float32", offline=True)
    segmenter.set_prompts(["floor", "wall", "person"])
    return segmenter


@pytest.mark.parametrize(("side", "classes"), [(512, 5), (384, 100)])
def test_the_memory_is_of_the_estimated_size(side: int, classes: int) -> None:
    """Each in a process of its own: what an earlier frame has freed would be used again."""
    process = ForkedProcess(PEAK, [str(side), str(classes)], dict(os.environ))
    output = process.stdout.read()
    assert process.wait(300) == 0, output
    peak, estimated = map(int, output.split())
    assert peak / 4 < estimated < 4 * peak


def test_the_time_is_of_the_estimated_size(segmenter: Segmenter) -> None:
    shape = (320, 320)
    segmenter.set_options(inference_size=320)
    image = np.zeros((*shape, 3), np.uint8)
    segmenter.segment(image)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        segmenter.segment(image)
        times.append(time.perf_counter() - start)
    cost._speed.cache_clear()
    estimated = frame_seconds(FrameKind(shape, shape, 3), segmenter.parts)
    assert min(times) / 10 < estimated < 10 * min(times)  # other work on the machine included


def test_cost_grows_with_everything(segmenter: Segmenter) -> None:
    small = FrameKind((480, 640), (192, 256), 5)
    for larger in (
        FrameKind((480, 640), (384, 512), 5),
        FrameKind((480, 640), (192, 256), 5000),
        FrameKind((480, 640), (192, 256), 5, 4),
    ):
        assert frame_memory(larger, segmenter.parts) > frame_memory(small, segmenter.parts)
        assert frame_seconds(larger, segmenter.parts) > frame_seconds(small, segmenter.parts)


def test_a_frame_that_would_fill_the_memory_is_refused_before_it(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "available_memory", lambda: 1_000_000_000)
    segmenter.set_options(inference_size=4096)
    start = time.monotonic()
    with pytest.raises(ImageError, match=r"takes about \d+\.\d GB, and 1\.0 GB are free"):
        segmenter.segment(np.zeros((480, 640, 3), np.uint8))
    assert time.monotonic() - start < 1.0
    segmenter.set_options(inference_size=192)
    assert segmenter.segment(np.zeros((480, 640, 3), np.uint8)).labels.shape == (480, 640)


def test_a_frame_that_would_take_minutes_is_refused_by_the_node(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_speed", lambda dtype: 30e9)  # a small robot's
    segmenter.set_options(inference_size=192)
    with pytest.raises(OptionError, match=r"about \d+ minutes and \d+\.\d GB .* inference_size to"):
        check_changes(segmenter, {"inference_size": 4096})
    check_changes(segmenter, {"inference_size": 448})
    assert segmenter.options.inference_size == 192


def test_prompts_whose_scores_would_fill_the_memory_are_refused_by_the_node(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "_speed", lambda dtype: 1e12)
    monkeypatch.setattr(cost, "available_memory", lambda: 1_500_000_000)
    segmenter.set_options(inference_size=448)
    with pytest.raises(ImageError, match="with 60000 phrases takes about"):
        check_changes(segmenter, {"prompts": [f"thing {i}" for i in range(60000)]})
    check_changes(segmenter, {"prompts": [f"thing {i}" for i in range(5000)]})


def test_available_memory_is_the_least_of_machine_and_container(tmp_path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:     5000 kB\n")
    assert available_memory(meminfo, tmp_path) == 5000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    for limit, room in (("max", 5000 * 1024), ("2500", 1500), ("10", 0), ("", 5000 * 1024)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert available_memory(meminfo, tmp_path) == room
    assert available_memory(tmp_path / "none", tmp_path / "none") is None
    assert available_memory() > 0


def test_the_gpu_memory_that_pytorch_keeps_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the device's answers: after one large frame, most memory is in the cache."""
    answers = {
        "mem_get_info": (1_000, 80_000),
        "memory_reserved": 70_000,
        "memory_allocated": 9_000,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)
    assert cost.device_memory(torch.device("cuda", 0)) == 62_000


def test_a_frame_on_a_gpu_is_judged_by_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "frame_memory", lambda kind, parts: 50_000_000_000)
    monkeypatch.setattr(cost, "available_memory", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000_000, 80_000_000_000))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1_000_000_000)
    parts = SimpleNamespace(main=SimpleNamespace(device=torch.device("cuda", 0)))
    kind = FrameKind((480, 640), (480, 640), 3)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 60_000_000_000)
    cost.check_memory(kind, parts)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 1_000_000_000)
    with pytest.raises(ImageError, match=r"50\.0 GB, and 1\.0 GB are free"):
        cost.check_memory(kind, parts)
