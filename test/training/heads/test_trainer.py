# SPDX-License-Identifier: Apache-2.0
"""The heads' training loop: the same twice, broken off and resumed, in two processes."""

from __future__ import annotations

import os
import socket

import pytest
import torch
from forked_process import ForkedProcess
from head_batches import SCHEDULE, batch, new_heads
from paths import ROOT

from dinoiser_ros.errors import TrainingError
from dinoiser_ros.training.common.run_state import Checkpoint
from dinoiser_ros.training.heads.losses import head_losses
from dinoiser_ros.training.heads.schedule import HeadSchedule
from dinoiser_ros.training.heads.trainer import train_heads


def trained(
    checkpoint: Checkpoint | None = None, break_before: int = 99
) -> tuple[list[torch.Tensor], list]:
    def batches_from(first):
        for step in range(first, SCHEDULE.steps):
            if step == break_before:
                raise KeyboardInterrupt
            yield batch(step)

    heads = new_heads()
    losses = train_heads(heads, batches_from, SCHEDULE, checkpoint)
    return [tensor.clone() for tensor in heads.state_dict().values()], losses


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_broken_off_run_ends_where_an_unbroken_one_does(tmp_path):
    whole, losses = trained()
    assert same(whole, trained()[0]) and len(losses) == 6
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {"seed": 0}, every=0)
    for step in (2, 5):  # the second time the learning rates have dropped
        with pytest.raises(KeyboardInterrupt):
            trained(checkpoint, break_before=step)
    parts, all_losses = trained(checkpoint)
    assert same(whole, parts) and all_losses == losses
    assert same(whole, trained(checkpoint, break_before=0)[0]), "what is done is not repeated"
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint"]


def test_checkpoints_are_written_by_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now.__setitem__(0, now[0] + 20) or now[0])
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda _, heads, progress: saved.append(progress.step))
    trained(Checkpoint(tmp_path / "run.checkpoint", {}, every=30))
    assert saved == [2, 4, 6], "every 40 s where a step takes 20, and at the end"


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {}, every=0)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint, break_before=3)
    before = checkpoint.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            trained(checkpoint)
    assert checkpoint.path.read_bytes() == before
    assert same(trained(checkpoint)[0], trained()[0])


def test_checkpoints_of_other_runs_are_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.checkpoint", {"seed": 0, "batch": 2}, every=0)
    trained(checkpoint)
    other = Checkpoint(checkpoint.path, {"seed": 1, "batch": 2})
    with pytest.raises(TrainingError, match="another seed: remove it"):
        trained(other)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="cannot be read: remove it"):
        trained(checkpoint)


def test_a_loss_that_is_no_number_ends_the_run():
    bad = batch(0)
    bad.features[0, 0, 0, 0] = torch.nan
    heads = new_heads()
    before = [tensor.clone() for tensor in heads.state_dict().values()]
    with pytest.raises(TrainingError, match="step 1 is not a number"):
        train_heads(heads, lambda _: [bad], SCHEDULE)
    assert same(before, list(heads.state_dict().values()))


def test_one_step_against_adamw_written_out():
    """AdamW (arXiv 1711.05101, algorithm 2) with torch's defaults, on the sum of both losses."""
    heads = new_heads()
    sum(head_losses(heads, batch(0), 0.2)).backward()
    expected = {}
    for name, parameter in heads.named_parameters():
        gradient, rate = parameter.grad, 1e-2
        first, second = 0.1 * gradient / (1 - 0.9), 0.001 * gradient**2 / (1 - 0.999)
        expected[name] = parameter * (1 - rate * 0.01) - rate * first / (second.sqrt() + 1e-8)
    fresh = new_heads()
    train_heads(fresh, lambda _: [batch(0)], HeadSchedule(1, 1e-2, 1e-2))
    for name, parameter in fresh.named_parameters():
        torch.testing.assert_close(parameter, expected[name], atol=1e-6, rtol=1e-5)


def test_learning_rates_drop_tenfold():
    schedule = HeadSchedule()
    assert schedule.rates(4999) == (5e-5, 1e-2)
    assert schedule.rates(5000) == pytest.approx((5e-6, 1e-3))


def test_two_processes_train_what_one_trains(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
    }
    program = (ROOT / "test" / "helpers" / "training_team.py").read_text()
    both = [
        ForkedProcess(program, [str(tmp_path)], {**environment, "RANK": str(rank)})
        for rank in range(2)
    ]
    for process in both:
        output = process.stdout.read()
        assert process.wait(300) == 0, output
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert same(*(result["heads"] for result in results)), "both processes hold the same heads"
    alone, losses = trained()
    for one, two in zip(alone, results[0]["heads"], strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(results[0]["losses"]))
