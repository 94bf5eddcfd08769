# SPDX-License-Identifier: Apache-2.0
"""Files are complete or as they were, whatever happens while they are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dinoiser_ros.utils.atomic_files import atomic_write, atomic_write_text


def test_a_new_file_comes_with_its_folders(tmp_path):
    path = tmp_path / "folder" / "results.json"
    atomic_write_text(path, "grün")
    assert path.read_text(encoding="utf-8") == "grün" and list(path.parent.iterdir()) == [path]


def test_a_file_is_complete_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    atomic_write_text(path, "old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_leaves_the_file(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), atomic_write(path) as part:
        part.write_text("ne")
        raise ValueError("half")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_file_and_the_next_one_replaces_it(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, dinoiser_ros.utils.atomic_files as f\n"
        f"with f.atomic_write(pathlib.Path({str(path)!r})) as part:\n"
        "    part.write_text('longer than the next one')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == -signal.SIGKILL and path.read_text() == "old"
    atomic_write_text(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_file_gets_its_name_when_it_is_atomic_write(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as place:
        place.write_text("half")
        raise KeyboardInterrupt
    assert list(target.parent.iterdir()) == []
    (target.parent / "a.txt.part").mkdir()  # of a process that was killed
    (target.parent / "a.txt.part" / "a.txt").write_text("longer than the next one")
    with atomic_write(target) as place:
        place.write_text("first")
        assert not target.exists() and place.name == target.name
    with atomic_write(target) as place:
        place.write_text("second")
        assert target.read_text() == "first"
    assert target.read_text() == "second"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_by_a_folder(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_write(tmp_path / "frames") as place:
            place.mkdir()
            (place / name).touch()
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["new"]


def test_what_is_not_durable_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for durable, wanted in ((False, 0), (True, 1)):
        with atomic_write(tmp_path / "a.png", durable=durable) as place:
            place.touch()
        assert len(synced) == wanted


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "inside").mkdir(parents=True)
    with pytest.raises(OSError):
        atomic_write_text(tmp_path / "a", "text")
    assert (tmp_path / "a" / "inside").is_dir() and list(tmp_path.iterdir()) == [tmp_path / "a"]
