# SPDX-License-Identifier: Apache-2.0
"""One bad file, name or folder gets a sentence; the others are segmented, the status tells."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from video_files import FRAMES, write_video

from dinoiser_ros.errors import FrameSourceError, MediaError, TrainingError
from dinoiser_ros.media import command
from dinoiser_ros.media.frame_sources import Video, open_source
from dinoiser_ros.media.inputs import VIDEO, Input, find_inputs
from dinoiser_ros.media.settings import Settings
from dinoiser_ros.media.video_file import storable_rate
from dinoiser_ros.media.videos import segment_video
from dinoiser_ros.training.common.image_folder import find_pictures
from dinoiser_ros.utils.atomic_files import atomic_write, atomic_write_text

NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With one good picture, good.png."""
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "good.png")
    return tmp_path


def picture(path: Path) -> None:
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(path)


def run(segmenter, *arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    options = parser.parse_args(
        [str(argument) for argument in (*arguments, "-p", "person", "floor")]
    )
    return command.run(options, lambda: segmenter)


def run_folder(segmenter, folder: Path, *more: object) -> int:
    status = run(segmenter, folder / "in", *more, "-o", folder / "out")
    assert (folder / "out" / "good_labels.png").is_file(), "the good one is segmented"
    return status


def test_names_that_are_not_utf_8(folder, quick, capsys):
    place = folder / "in" / NOT_UTF8
    place.mkdir()
    picture(place / f"{NOT_UTF8}.png")
    video = write_video(folder / "film.mp4")
    shutil.move(video.path, place / f"{NOT_UTF8}2.mp4")
    assert run_folder(quick, folder) == 0
    captured = capsys.readouterr()
    assert "2 of 2 pictures, 1 of 1 videos" in captured.out and "caf\\udce9" in captured.out
    results = {path.name for path in (folder / "out" / NOT_UTF8).iterdir()}
    assert results >= {f"{NOT_UTF8}_labels.png", f"{NOT_UTF8}2_overlay.mp4"}
    source = Video(folder / "out" / NOT_UTF8 / f"{NOT_UTF8}2_overlay.mp4")
    assert source.length == FRAMES
    source.close()


def test_a_process_reads_a_video_whose_name_is_not_utf_8(tmp_path):
    """OpenCV ended the process, so that no test could go on after it."""
    shutil.move(write_video(tmp_path / "film.mp4").path, tmp_path / f"{NOT_UTF8}.mp4")
    code = (
        "import os, sys; from dinoiser_ros.media.frame_sources import open_source\n"
        "source = open_source(sys.argv[1]); print(source.read().shape); source.rewind()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / f"{NOT_UTF8}.mp4")],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.stdout == "(48, 64, 3)\n", done.stderr


def test_pipes_and_sockets_are_not_waited_for(folder, quick, capsys):
    os.mkfifo(folder / "in" / "a.png")
    os.mkfifo(folder / "in" / "a.mp4")
    os.mkfifo(folder / "in" / "a.mcap")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "in" / "b.png"))
        assert run_folder(quick, folder) == 1
    errors = capsys.readouterr().err
    assert errors.count("not a file that can be read to its end") == 4
    assert open_source(str(folder / "in")).description.startswith("1 pictures")
    assert [path.name for path in find_pictures(folder / "in")] == ["good.png"]
    with pytest.raises(FrameSourceError, match="read to its end"):
        open_source(str(folder / "in" / "a.mp4"))


def test_companions_of_macos_are_no_pictures(folder, quick):
    (folder / "in" / "._good.png").write_bytes(b"\0\5\26\7")
    (folder / "in" / "._film.mp4").write_bytes(b"\0\5\26\7")
    assert run_folder(quick, folder) == 0
    assert open_source(str(folder / "in")).description.startswith("1 pictures")
    assert [path.name for path in find_pictures(folder / "in")] == ["good.png"]


def test_a_folder_that_cannot_be_read_is_said(folder, quick, capsys, monkeypatch):
    (folder / "in" / "secret").mkdir()
    listed = os.scandir

    def scandir(path):
        if not isinstance(path, int) and Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", lambda path: [entry.name for entry in scandir(path)])
    assert run_folder(quick, folder) == 1
    assert "secret: it was left out: Permission denied" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="secret cannot be read: Permission denied"):
        find_pictures(folder / "in")
    with pytest.raises(FrameSourceError, match="secret cannot be read: Permission denied"):
        open_source(str(folder / "in" / "secret"))


def test_a_place_that_cannot_be_looked_at_is_one_bad_input(folder, quick, capsys, monkeypatch):
    real = Path.is_dir

    def is_dir(path: Path) -> bool:
        if path.name == "strange":
            raise ValueError("embedded surprise")
        return real(path)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert run_folder(quick, folder, folder / "strange") == 1
    error = capsys.readouterr().err
    assert "strange: an unexpected error at" in error and error.count("\n") == 1


def test_links_that_lead_nowhere(folder, quick, capsys):
    (folder / "in" / "loop.png").symlink_to("loop.png")
    (folder / "in" / "gone.png").symlink_to("nowhere.png")
    (folder / "in" / "up").symlink_to(folder / "in")
    (folder / "round").symlink_to("round")
    assert run_folder(quick, folder, folder / "round") == 1
    errors = capsys.readouterr().err
    assert errors.count("there is no such file") == 3 and errors.count("\n") == 3


def test_results_do_not_go_among_the_inputs(folder, quick, capsys):
    before = sorted((folder / "in").iterdir())
    assert run(quick, folder / "in", "-o", folder / "in") == 1
    assert "give another folder to -o" in capsys.readouterr().err
    assert sorted((folder / "in").iterdir()) == before


@pytest.mark.parametrize("name", ["good_labels.png", "good_overlay.png.part"])
def test_a_folder_with_the_name_of_a_result_stays(folder, quick, capsys, name):
    mine = folder / "out" / name / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    picture(folder / "in" / "z.png")
    assert run(quick, folder / "in", "-o", folder / "out", "--overwrite") == 1
    assert mine.read_text() == "years of work"
    assert "move it" in capsys.readouterr().err
    assert (folder / "out" / "z_labels.png").is_file()


@pytest.mark.parametrize("name", ["film_overlay.mp4", "film_labels", "film_labels.part"])
def test_a_folder_in_the_place_of_a_videos_result_stays(tmp_path, quick, name):
    mine = tmp_path / "out" / name / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    save = frozenset({"overlay", "labels"})
    settings = Settings(tmp_path / "out", save=save, overwrite=True)
    with pytest.raises((MediaError, OSError), match="move it"):
        segment_video(quick, write_video(tmp_path / "film.mp4"), settings)
    assert mine.read_text() == "years of work"


def test_a_file_in_the_place_of_the_workplace_stays(tmp_path):
    (tmp_path / "a.part").write_text("mine")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "a"):
        pass
    with pytest.raises(FileExistsError):
        atomic_write_text(tmp_path / "a", "text")
    assert (tmp_path / "a.part").read_text() == "mine"


def test_results_of_an_earlier_run_are_replaced(tmp_path, quick):
    video = write_video(tmp_path / "film.mp4")
    save = frozenset({"overlay", "labels"})
    for _ in range(2):
        segment_video(quick, video, Settings(tmp_path / "out", save=save, overwrite=True))
    assert len(list((tmp_path / "out" / "film_labels").iterdir())) == FRAMES


@pytest.mark.parametrize("rate", [66.667, 29.97, 23.976, 119.88, 999.99, 0.1, 65.536, 1000.0])
def test_odd_frame_rates(tmp_path, quick, rate):
    assert storable_rate(rate) == pytest.approx(rate, rel=6e-4)
    video = write_video(tmp_path / "film.avi", "MJPG", rate)
    outcome = segment_video(quick, Input(video.path, VIDEO, "film"), Settings(tmp_path / "out"))
    assert outcome.summary.startswith(f"{FRAMES} frames")
    written = Video(tmp_path / "out" / "film_overlay.mp4")
    assert written.rate == pytest.approx(rate, rel=1e-3)
    written.close()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("of all things"), RecursionError(), MemoryError()]
)
def test_any_exception_is_the_sentence_of_its_input(folder, quick, capsys, monkeypatch, error):
    picture(folder / "in" / "bad.png")
    segment = quick.segment
    calls = []

    def unlucky(image):
        calls.append(image)
        if len(calls) == 1:
            raise error
        return segment(image)

    monkeypatch.setattr(quick, "segment", unlucky)
    assert run_folder(quick, folder) == 1
    captured = capsys.readouterr()
    assert "bad.png: an unexpected error at test_one_bad_input.py:" in captured.err
    assert type(error).__name__ in captured.err and captured.err.count("\n") == 1
    assert "1 of 2 pictures" in captured.out


def test_a_name_with_control_characters_is_one_line(folder, quick, capsys):
    (folder / "in" / "a\n\x1b[31mb.png").write_bytes(b"nothing")
    assert run_folder(quick, folder) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "\x1b" not in error and "a\\n\\x1b[31mb.png" in error


class TestBags:
    """Odd bags beside a good picture."""

    @pytest.fixture
    def bag(self, folder: Path) -> Path:
        pytest.importorskip("rosbags")
        from bag_files import write_bag

        return write_bag(folder / "in" / "drive").path

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("storage_identifier", ""), ("storage_identifier", "tape"), ("version", "new"),
            ("starting_time", {"nanoseconds_since_epoch": "yesterday"}),
            ("duration", "long"), ("relative_file_paths", []), ("relative_file_paths", 7),
            ("topics_with_message_count", None), ("message_count", "many"),
            ("compression_format", "magic"), ("compression_mode", 3),
        ],
    )  # fmt: skip
    def test_odd_metadata(self, folder, quick, bag, capsys, key, value):
        text = yaml.safe_load((bag / "metadata.yaml").read_text())
        text["rosbag2_bagfile_information"][key] = value
        (bag / "metadata.yaml").write_text(yaml.safe_dump(text))
        self.check_one_sentence(run_folder(quick, folder), capsys)

    @staticmethod
    def check_one_sentence(status: int, capsys) -> None:
        """Either the bag is segmented, or one sentence says why not."""
        captured = capsys.readouterr()
        errors = captured.err.splitlines()
        assert "Traceback" not in captured.err
        if status:
            assert len(errors) == 1 and errors[0].startswith("dinoiser: ") and "drive" in errors[0]
        else:
            assert "1 of 1 bags" in captured.out

    @pytest.mark.parametrize("content", ["", "- 1", "{", "\0", "rosbag2_bagfile_information: 5"])
    def test_metadata_that_are_none(self, folder, quick, bag, capsys, content):
        (bag / "metadata.yaml").write_text(content)
        status = run_folder(quick, folder)
        self.check_one_sentence(status, capsys)
        assert status == 1

    @pytest.mark.parametrize("name", ["", "Odd", "a/b/c/d", "a/msg/../B", "é/msg/Ü", "a b/msg/C"])
    def test_odd_type_names(self, folder, quick, bag, capsys, name):
        database = sqlite3.connect(bag / "drive.db3")
        database.execute("UPDATE topics SET type = ? WHERE name = '/chatter'", (name,))
        database.commit()
        database.close()
        text = (bag / "metadata.yaml").read_text()
        (bag / "metadata.yaml").write_text(text.replace("std_msgs/msg/String", repr(name)))
        self.check_one_sentence(run_folder(quick, folder), capsys)

    @pytest.mark.parametrize("time", ["yesterday", None, -5, 2.5, b"\0"])
    def test_odd_times(self, folder, quick, bag, capsys, time):
        database = sqlite3.connect(bag / "drive.db3")
        database.execute("CREATE TABLE copy AS SELECT * FROM messages")
        database.execute("UPDATE copy SET timestamp = ? WHERE id = 2", (time,))
        database.executescript("DROP TABLE messages; ALTER TABLE copy RENAME TO messages")
        database.close()
        self.check_one_sentence(run_folder(quick, folder), capsys)

    @pytest.mark.parametrize("suffix", ["mcap.zstd", "db3.zstd", "MCAP.ZSTD"])
    def test_packed_storage_without_metadata(self, folder, quick, capsys, suffix):
        pytest.importorskip("rosbags")
        (folder / "in" / f"drive.{suffix}").write_bytes(b"\x28\xb5\x2f\xfd")
        status = run_folder(quick, folder)
        assert status == 1 and "unpack it with 'zstd -d'" in capsys.readouterr().err

    def test_packed_messages_without_metadata(self, folder, quick, capsys):
        pytest.importorskip("rosbags")
        from bag_files import write_bag
        from rosbags.rosbag2 import CompressionMode, StoragePlugin

        packed = write_bag(folder / "p", StoragePlugin.SQLITE3, CompressionMode.MESSAGE).path
        shutil.move(packed / "p.db3", folder / "in" / "drive.db3")
        assert run_folder(quick, folder) == 1
        error = capsys.readouterr().err
        assert "messages are compressed" in error and "reindex" in error and error.count("\n") == 1


def test_every_place_has_an_input(tmp_path):
    places = [tmp_path / name for name in ("a.png", "b", NOT_UTF8)]
    assert [entry.path for entry in find_inputs(places, tmp_path / "out")] == places
