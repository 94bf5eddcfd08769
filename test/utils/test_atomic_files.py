# SPDX-License-Identifier: Apache-2.0
"""Files are whole or as they were, whatever happens while they are written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from dinoiser_ros.utils.atomic_files import replacing, write_whole


def test_a_new_file_comes_with_its_folders(tmp_path):
    path = tmp_path / "folder" / "results.json"
    write_whole(path, "grün")
    assert path.read_text(encoding="utf-8") == "grün" and list(path.parent.iterdir()) == [path]


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_whole(path, "old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_leaves_the_file(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    with pytest.raises(ValueError, match="half"), replacing(path) as part:
        part.write_text("ne")
        raise ValueError("half")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_file_and_the_next_one_replaces_it(tmp_path):
    path = tmp_path / "weights"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, dinoiser_ros.files as f\n"
        f"with f.replacing(pathlib.Path({str(path)!r})) as part:\n"
        "    part.write_text('longer than the next one')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == -signal.SIGKILL and path.read_text() == "old"
    write_whole(path, "new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
