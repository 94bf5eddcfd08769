# SPDX-License-Identifier: Apache-2.0
"""`dinoiser segment --ray`: two workers of a Ray that runs on this machine, one killed."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import partial
from pathlib import Path

import archive_fakes
import pytest

pytest.importorskip("ray", reason="the optional package Ray is not installed")
pytest.importorskip("rosbags")

from bag_files import messages, write_bag
from rosbags.typesys import Stores, get_typestore

from dinoiser_ros.archives.ray_workers import _rooms
from dinoiser_ros.errors import MediaError
from dinoiser_ros.media import command as media

FRAMES, MOST = 30, 16


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


def test_two_workers_one_killed_make_what_one_process_makes(tmp_path, capfd, monkeypatch):
    # What Ray starts has the environment of this process, but not its sys.path.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    write_bag(tmp_path / "in" / "drive", content=messages(get_typestore(Stores.ROS2_JAZZY), FRAMES))
    save = ["--save", "labels", "pseudo-labels"]
    options = archive_fakes.parse(tmp_path / "in", "-o", tmp_path / "alone", *save)
    assert media.run(options, partial(archive_fakes.load, tmp_path / "before", "cpu")) == 0
    loader = partial(archive_fakes.load, tmp_path / "traces", kill_at=FRAMES)
    arguments = [tmp_path / "in", "-o", tmp_path / "out", "--workers", 2, "--slice-frames", MOST]
    assert archive_fakes.run(loader, *arguments, *save, "--ray") == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")
    assert (tmp_path / "traces").stat().st_size <= 2 * FRAMES + MOST, "one slice is done again"
    assert "1 ended and were replaced" in capfd.readouterr().out


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "1")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match="Ray cannot be reached at nonsense: "):
        archive_fakes.run(
            archive_fakes.fail_to_load, tmp_path, "-o", tmp_path / "out", "--ray=nonsense"
        )


class Cluster:
    """Stands in for Ray: machines with so many CPUs and GPUs."""

    def __init__(self, *machines: tuple[int, int]) -> None:
        self._machines = machines

    def nodes(self) -> list[dict[str, object]]:
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        return [
            {
                "Alive": True,
                "Resources": {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})},
            }
            for cpus, gpus in self._machines
        ] + [dead]


@pytest.mark.parametrize(
    ("machines", "count", "device", "rooms"),
    [
        ([(16, 0)], None, "auto", (1, 16, 0)),
        ([(16, 0), (8, 0)], None, "auto", (2, 8, 0)),
        ([(8, 0), (8, 0)], 3, "auto", (3, 4, 0)),  # 5 each would leave the third without a place
        ([(2, 0)], 5, "auto", (5, 1, 0)),
        ([(16, 2), (16, 2)], None, "auto", (4, 1, 1.0)),
        ([(16, 2), (16, 2)], 6, "cuda", (6, 1, 0.5)),
        ([(16, 2), (16, 2)], 2, "cpu", (2, 16, 0)),
    ],
)
def test_every_worker_finds_a_place(machines, count, device, rooms):
    found = _rooms(Cluster(*machines), count, device)
    assert (found.count, found.cpus, found.gpus) == rooms
