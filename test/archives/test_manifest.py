# SPDX-License-Identifier: Apache-2.0
"""The file that says what of an archive is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dinoiser_ros.archives.jobs import BagSlice
from dinoiser_ros.archives.manifest import Manifest
from dinoiser_ros.errors import MediaError
from dinoiser_ros.media.inputs import BAG, PICTURE, Input
from dinoiser_ros.media.settings import Outcome

SETTINGS = {"prompts": ["person", "floor"], "alpha": 0.5}
OUTCOME = Outcome("person 100%", ("one is missing",), ("one was left out",), 7)


@pytest.fixture
def entry(tmp_path: Path) -> Input:
    (tmp_path / "a.png").write_bytes(b"picture")
    return Input(tmp_path / "a.png", PICTURE, "a")


def test_what_was_noted_is_known_to_the_next_run(tmp_path, entry):
    bad = Input(tmp_path / "nowhere.png", PICTURE, "nowhere")
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.outcome(entry) is None
        manifest.add({entry: OUTCOME, bad: "there is no such file."})
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.outcome(entry) == OUTCOME
        assert manifest.outcome(bad) is None, "what failed is tried again"
    assert "there is no such file." in manifest.path.read_text()


def test_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).write_bytes(b"picture")
    entry = Input(tmp_path / name, PICTURE, name)
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.add({entry: OUTCOME})
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.outcome(entry) == OUTCOME


def test_an_input_that_was_changed_since_is_not_done(tmp_path, entry):
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.add({entry: OUTCOME})
    entry.path.write_bytes(b"another picture")
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.outcome(entry) is None


def test_the_stamp_is_that_from_before_an_input_was_read(tmp_path, entry):
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.begin([entry])
        entry.path.write_bytes(b"changed while it was segmented")
        manifest.add({entry: OUTCOME})
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.outcome(entry) is None


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path, entry):
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.add({entry: OUTCOME})
    whole = manifest.path.read_bytes()
    for length in range(len(whole)):
        manifest.path.write_bytes(whole[:length])
        with Manifest(tmp_path / "out", SETTINGS) as manifest:
            assert manifest.outcome(entry) is None
            manifest.add({entry: OUTCOME})
        with Manifest(tmp_path / "out", SETTINGS) as manifest:
            assert manifest.outcome(entry) == OUTCOME
        assert manifest.path.read_bytes() == whole


@pytest.mark.parametrize(
    "text",
    [
        "[1]\n", "nonsense\n", '{"format": 1}\n', '{"settings": 3}\n',
        "a line without an end", '{"name": "of another program"}\n{"path": 3}', "[1]\n[2]",
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_not_replaced_unless_asked(tmp_path, entry, text):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_text(text)
    with pytest.raises(MediaError, match="start anew with --fresh"):
        Manifest(tmp_path / "out", SETTINGS)
    assert path.read_text() == text
    with Manifest(tmp_path / "out", SETTINGS, fresh=True) as manifest:
        assert manifest.outcome(entry) is None


def test_other_settings_are_refused_by_name(tmp_path, entry):
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.add({entry: OUTCOME})
    with pytest.raises(MediaError, match="begun with another alpha: give --fresh"):
        Manifest(tmp_path / "out", {**SETTINGS, "alpha": 0.7})
    with Manifest(tmp_path / "out", {**SETTINGS, "alpha": 0.7}, fresh=True) as manifest:
        assert manifest.outcome(entry) is None


def test_only_one_run_at_a_time_has_a_folder(tmp_path):
    first = Manifest(tmp_path / "out", SETTINGS)
    with first, pytest.raises(MediaError, match="another run writes to"):
        Manifest(tmp_path / "out", SETTINGS)
    Manifest(tmp_path / "out", SETTINGS).__exit__(None, None, None)


def test_a_slice_is_done_as_long_as_its_file_is_there(tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "metadata.yaml").write_text("recorded")
    bag = Input(tmp_path / "drive", BAG, "drive")
    one, two = (BagSlice(bag, n, n + 1, tmp_path / f"{n}.slice") for n in range(2))
    one.path.touch()
    two.path.touch()
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        manifest.add_slice(one)
        assert manifest.outcome(bag) is None
    with Manifest(tmp_path / "out", SETTINGS) as manifest:
        assert manifest.has(one) and not manifest.has(two)
        one.path.unlink()
        assert not manifest.has(one)


def test_results_that_were_there_before_are_not_of_this_manifest(tmp_path, entry):
    out = tmp_path / "out"
    with Manifest(out, SETTINGS) as manifest:
        assert manifest.begin([entry]) == frozenset(), "it is begun for the first time"
        assert manifest.begin([entry]) == {"a"}
    with Manifest(out, SETTINGS) as manifest:
        assert manifest.begin([entry]) == {"a"}, "a run that was killed may have made results"
    (out / "b_segmented").mkdir()
    other = Input(tmp_path / "b", BAG, "b")
    for _ in range(2):
        with Manifest(out, SETTINGS) as manifest:
            assert manifest.begin([other]) == frozenset()
