# SPDX-License-Identifier: Apache-2.0
"""The doctor: what it reports of healthy and sick machines, and its exit status."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dinoiser_ros.cli.main import main
from dinoiser_ros.doctor import command, machine, packages, ros_setup, self_test, storage
from dinoiser_ros.doctor.findings import FAULT, NOTE, OK, Finding


def test_a_machine_that_works_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "bridge", lambda: Finding("cv_bridge", "not looked at"))
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for words in (
        "processor", "device: auto", "attention, vit-b-16, about 1024 tokens", "torch", "cache",
        "embedded model", "(expected)",
    ):  # fmt: skip
        assert words in text
    assert "-- 0 faults" in text.splitlines()[-1]


def test_wrong_results_are_a_fault() -> None:
    right = list(self_test.EXPECTED)
    assert self_test.compare(right).level == OK
    assert self_test.compare([right[1], right[0], *right[2:]]).level == FAULT


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA error: no kernel image is available\nmore"), "no kernel image"),
        (RuntimeError(), "RuntimeError"),  # an exception may say nothing
    ],
)
def test_a_model_that_does_not_run_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(self_test, "Segmenter", fail)
    (finding,) = self_test.self_test()
    assert finding.level == FAULT and words in finding.value
    assert "\n" not in finding.line()


def test_a_look_that_fails_is_a_line_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> list[Finding]:
        raise PermissionError("forbidden")

    fine = [Finding("later", "seen")]
    monkeypatch.setattr(command, "_SECTIONS", (("first", fail), ("second", lambda: fine)))
    assert command.run(SimpleNamespace()) == 1
    text = capsys.readouterr().out
    assert "forbidden" in text and "later: seen" in text and "1 faults" in text


@pytest.mark.parametrize(
    ("error", "level", "words"),
    [
        ("", OK, "works"),
        ("ModuleNotFoundError: No module named 'cv_bridge'", NOTE, "Bayer"),
        ("AttributeError: _ARRAY_API not found", FAULT, "numpy"),
    ],
)
def test_cv_bridge_and_numpy_are_tried(
    monkeypatch: pytest.MonkeyPatch, error: str, level: str, words: str
) -> None:
    done = SimpleNamespace(returncode=int(bool(error)), stderr=f"Traceback\n{error}\n")
    monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: done)
    finding = packages.bridge()
    assert finding.level == level and words in finding.line()


def test_a_small_receive_buffer_and_no_shared_memory_are_noted(tmp_path: Path) -> None:
    (tmp_path / "rmem_max").write_text("212992\n")
    *_, buffer, shared = ros_setup.ros(str(tmp_path), str(tmp_path / "none"))
    assert buffer.level == NOTE and "sysctl" in buffer.advice
    assert shared.level == NOTE
    (tmp_path / "rmem_max").write_text("8388608\n")
    assert ros_setup.ros(str(tmp_path), str(tmp_path))[-2].level == OK


def test_what_auto_chooses_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(machine, "resolve_device", lambda _: torch.device("cpu"))
    lines = [finding.line() for finding in machine.choices()]
    assert any("demo: float32" in line and "few channels" in line for line in lines)
    assert any("no instructions for bfloat16" in line for line in lines)


@pytest.mark.parametrize(
    ("device", "missing", "expected"),
    [
        ("cpu", "onnx", "torch, since onnx is not installed"),
        ("cpu", None, "openvino 1.2, where a trial finds it faster"),
        ("cuda", None, "torch, since it is a GPU"),
    ],
)
def test_which_engine_auto_can_choose(monkeypatch, device, missing, expected) -> None:
    monkeypatch.setattr(machine, "resolve_device", lambda _: torch.device(device))
    monkeypatch.setattr(machine, "missing_package", lambda _: missing)
    monkeypatch.setattr(machine, "version_of", lambda _: "1.2")
    assert any(expected in finding.line() for finding in machine.choices())


def test_a_driver_without_a_pytorch_for_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_driver", lambda: "NVIDIA RTX, 550.54, 8192 MiB")
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    assert machine.gpu()[-1].level == NOTE


def test_a_driver_that_hangs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(machine.subprocess, "run", hang)
    assert "failed" in machine.gpu()[0].value


def test_an_odd_cpuinfo_and_an_empty_cache_are_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (None, "", "model name\t: Some CPU\nflags\t: avx2 amx_bf16\n"):
        file = tmp_path / "cpuinfo"
        if content is not None:
            file.write_text(content)
        assert all(finding.level != FAULT for finding in machine.processor(str(file)))
    assert "amx_bf16" in machine.processor(str(file))[2].value
    monkeypatch.setenv("DINOISER_CACHE", str(tmp_path / "not" / "there"))
    assert [finding.level for finding in storage.storage()][:2] == [OK, OK]


def test_the_model_has_as_many_channels_as_the_doctor_believes() -> None:
    from dinoiser_ros.segmentation import Segmenter

    assert Segmenter("demo", offline=True).parts.main.width == machine._WIDTHS["demo"]
