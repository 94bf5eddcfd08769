# SPDX-License-Identifier: Apache-2.0
"""Kernels of attention against a naive one, and the choice among them by a made-up clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dinoiser_ros.segmentation.device import cpu_has_bfloat16, has_low_attention
from dinoiser_ros.segmentation.networks.attention import choice as attention_choice
from dinoiser_ros.segmentation.networks.attention.choice import (
    AttentionChooser,
    Choice,
    Situation,
    measure,
    situation_of,
)
from dinoiser_ros.segmentation.networks.attention.kernels import LONG, candidates
from dinoiser_ros.segmentation.networks.blocks import split_heads

SITUATION = Situation(2, 4, 256, "bfloat16", False, 1, "a processor", "2.9")


class Machine:
    """Kernels that take as long as they are told to, and the clock that says so."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {name.replace("_", " "): value for name, value in seconds.items()}
        self.now = self.computing = 0.0
        self.waiting: dict[str, float] = {}  # for other programs, during a kernel
        self.calls: list[str] = []
        self.share = 1.0  # of the processor that this process gets

    def kernels(self, *_: object) -> dict[str, Callable[[Tensor, int], Tensor]]:
        def kernel(name: str) -> Callable[[Tensor, int], Tensor]:
            def run(qkv: Tensor, heads: int) -> Tensor:
                self.calls.append(name)
                self.now += self.seconds[name] + self.waiting.get(name, 0.0)
                self.computing += self.share * self.seconds[name]
                return qkv

            return run

        return {name: kernel(name) for name in self.seconds}

    def chooser(self, folder: Path) -> AttentionChooser:
        return AttentionChooser(lambda: folder, lambda: self.now, lambda: self.computing)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(usual=0.004, quick=0.002, slow=0.1)
    monkeypatch.setattr(attention_choice, "candidates", machine.kernels)
    return machine


def test_the_fastest_is_chosen_and_the_hopeless_is_not_measured_on(machine: Machine) -> None:
    choice, quiet = measure(SITUATION, lambda: machine.now, lambda: machine.computing)
    assert choice.kernel == "quick" and quiet
    assert dict(choice.milliseconds) == pytest.approx({"usual": 4.0, "quick": 2.0, "slow": 100.0})
    assert machine.calls.count("slow") == 2 and machine.calls.count("quick") == 4


def test_the_usual_one_stays_if_the_gain_is_small(machine: Machine) -> None:
    machine.seconds["quick"] = 0.0039
    choice, _ = measure(SITUATION, lambda: machine.now, lambda: machine.computing)
    assert choice.kernel == "usual"


def test_on_a_busy_machine_time_of_the_processor_counts(machine: Machine) -> None:
    machine.waiting = {"quick": 0.03, "usual": 0.002}
    choice, quiet = measure(SITUATION, lambda: machine.now, lambda: machine.computing)
    assert choice.kernel == "quick" and not quiet
    assert choice.milliseconds["quick"] == pytest.approx(2.0)


def test_a_choice_is_made_once(machine: Machine, tmp_path: Path) -> None:
    first = machine.chooser(tmp_path / "new" / "folder")
    choice = first.choice(SITUATION)
    calls = len(machine.calls)
    assert first.choice(SITUATION) == choice
    assert machine.chooser(tmp_path / "new" / "folder").choice(SITUATION) == choice
    assert len(machine.calls) == calls, "kept in the process and in the folder"
    other = Situation(**{**vars(SITUATION), "threads": 2})
    machine.chooser(tmp_path / "new" / "folder").choice(other)
    assert len(machine.calls) > calls


def damaged(content: dict) -> list[str]:
    unknown = {**content, "kernel": "removed"}
    foreign = {**content, "situation": {**content["situation"], "torch": "1.0"}}
    lists = {**content, "milliseconds": [1]}
    odd = {**content, "disturbed": "no"}
    return ["", "{", "[]", "null", "[" * 9000, *map(json.dumps, (unknown, foreign, lists, odd))]


def test_what_is_no_choice_is_measured_again(machine: Machine, tmp_path: Path) -> None:
    machine.chooser(tmp_path).choice(SITUATION)
    (file,) = tmp_path.iterdir()
    good = file.read_text()
    for text in damaged(json.loads(good)):
        file.write_text(text)
        calls = len(machine.calls)
        assert machine.chooser(tmp_path).choice(SITUATION).kernel == "quick"
        assert len(machine.calls) > calls, text[:80]
        assert file.read_text() == good, text[:80]


def test_without_a_folder_each_process_measures(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "below", tmp_path / "directory"):
        chooser = machine.chooser(folder)
        if folder.name == "directory":  # something else has the name of the file
            machine.chooser(folder).choice(SITUATION)
            (file,) = folder.iterdir()
            file.unlink()
            file.mkdir()
        assert chooser.choice(SITUATION).kernel == "quick"
        calls = len(machine.calls)
        chooser.choice(SITUATION)
        assert len(machine.calls) == calls

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    chooser = AttentionChooser(homeless, lambda: machine.now, lambda: machine.computing)
    assert chooser.choice(SITUATION).kernel == "quick"


def test_on_a_busy_machine_processes_agree_until_one_is_undisturbed(
    machine: Machine, tmp_path: Path
) -> None:
    machine.share = 0.3
    assert machine.chooser(tmp_path).choice(SITUATION).kernel == "quick"
    machine.seconds.update(usual=0.001, quick=0.002)
    assert machine.chooser(tmp_path).choice(SITUATION).kernel == "quick", "as the first"
    machine.share = 1.0
    assert machine.chooser(tmp_path).choice(SITUATION).kernel == "usual"
    machine.seconds.update(usual=0.004)
    machine.share = 0.3
    assert machine.chooser(tmp_path).choice(SITUATION).kernel == "usual", "for good"


def test_the_process_that_was_faster_decides(machine: Machine, tmp_path: Path) -> None:
    def interrupted() -> float:
        """The clock of processor time, during whose first call another process chooses."""
        if not list(tmp_path.iterdir()):
            machine.seconds.update(usual=0.001)
            machine.chooser(tmp_path).choice(SITUATION)
            machine.seconds.update(usual=0.004)
        return 0.3 * machine.now

    late = AttentionChooser(lambda: tmp_path, lambda: machine.now, interrupted)
    assert late.choice(SITUATION).kernel == "usual"


def test_many_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """Real kernels, and a process of its own each, as far as the folder can tell."""
    situation = situation_of(2, 4, 20, torch.bfloat16)

    def choose(_: int) -> Choice:
        return AttentionChooser(lambda: tmp_path).choice(situation)

    with ThreadPoolExecutor(4) as pool:
        choices = list(pool.map(choose, range(12)))
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["kernel"] in {choice.kernel for choice in choices}


def test_about_as_many_tokens_are_one_situation() -> None:
    counts = {t: situation_of(12, 64, t, torch.float32).tokens for t in (1, 785, 1201, 3601, 9999)}
    assert counts == {1: 256, 785: 1024, 1201: 1024, 3601: 2048, 9999: 2048}


@pytest.mark.parametrize(
    ("dtype", "low", "tolerance", "count"),
    [
        (torch.float32, False, 1e-5, 1),
        (torch.float32, True, 0.02, 3),
        (torch.bfloat16, False, 0.02, 4),
    ],
)
def test_every_kernel_is_attention(
    dtype: torch.dtype, low: bool, tolerance: float, count: int
) -> None:
    kernels = candidates(dtype, LONG, low)
    assert len(kernels) == count
    qkv = torch.randn(2, 70, 3 * 2 * 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    q, k, v = (part.double() for part in split_heads(qkv, 2))
    wanted = ((q @ k.mT / 8**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
    for name, kernel in kernels.items():
        found = kernel(qkv, 2)
        assert found.dtype == dtype and found.shape == (2, 70, 16)
        assert (found - wanted).norm() < tolerance * wanted.norm(), name


def test_only_long_attention_is_rounded_and_only_where_nobody_minds() -> None:
    assert len(candidates(torch.float32, LONG // 2, low=True)) == 1
    cpu = torch.device("cpu")
    assert has_low_attention("auto", cpu, torch.float32) == cpu_has_bfloat16()
    assert not has_low_attention("float32", cpu, torch.float32)
    assert not has_low_attention("auto", cpu, torch.bfloat16)
    assert not has_low_attention("auto", torch.device("cuda"), torch.float32)
